"""A real S3 server for tests, which they may kill, and a proxy in front of it that injects faults from a seed.

The server is the one of S3=1 (`make build/s3/versitygw`), started by the same script.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from finance_role import own_store
from finance_role.environment import composed
from tests.support.stack import ROOT, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping
    from pathlib import Path

BINARY = ROOT / "build" / "s3" / "versitygw"
HEAD_BYTES = 64 * 1024
PIECE_BYTES = 64 * 1024
START_SECONDS = 60
END_OF_HEAD = b"\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 "
# Closing a socket with these options sends RST instead of FIN, as a lost connection does.
LINGER_ZERO = struct.pack("ii", 1, 0)


class S3Server:
    """An S3 server on a free port, with its state below a folder; `stop` or a `with` block ends it."""

    def __init__(self, folder: Path) -> None:
        """Start it."""
        assert BINARY.is_file(), f"`make {BINARY.relative_to(ROOT)}` builds the S3 server of the tests"
        self.folder = folder
        self.port = free_port()
        self.credentials_file = own_store.make_credentials(folder)
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def endpoint(self) -> str:
        """The server's URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def secret(self) -> str:
        """The secret key, which nothing may show."""
        return self.credentials_file.read_text().rpartition("= ")[2].strip()

    def settings(self, endpoint: str = "", prefix: str = "finance") -> dict[str, str]:
        """Return the settings of a lake in this server, reached at another endpoint if one is given."""
        return {
            "LAKE_URI": f"s3://{own_store.BUCKET}/{prefix}",
            "S3_ENDPOINT": endpoint or self.endpoint,
            "S3_CREDENTIALS_FILE": str(self.credentials_file),
        }

    def start(self) -> None:
        """Start it, on the port and the state that it had before; return when it answers."""
        environment = {
            "VERSITYGW": str(BINARY),
            "REFUSE_LINKS": str(ROOT / "kafka" / "broker" / "refuse-links"),
            "DATA_DIR": str(self.folder),
            "S3_BIND": "127.0.0.1",
            "S3_PORT": str(self.port),
            "S3_BUCKET": own_store.BUCKET,
            "S3_CREDENTIALS_FILE": str(self.credentials_file),
        }
        with (self.folder / "s3.log").open("ab") as log:
            self._process = subprocess.Popen(
                [ROOT / "s3" / "run-s3"],
                env=composed(environment, settings=False),
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        wait_until(self.answers, START_SECONDS, lambda: f"the S3 server answers\n{self.text()[-2000:]}")

    def answers(self) -> bool:
        """Whether it answers; fails if it has ended."""
        process = self._running()
        assert process.poll() is None, f"the S3 server ended with {process.returncode}\n{self.text()[-2000:]}"
        probe = [str(ROOT / "s3" / "probe-s3"), "127.0.0.1", str(self.port)]
        return subprocess.run(probe, capture_output=True, check=False).returncode == 0

    def kill(self) -> None:
        """End it with SIGKILL."""
        process = self._running()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self._process = None

    def stop(self) -> None:
        """End it if it runs."""
        if self._process:
            self.kill()

    def text(self) -> str:
        """Return its log."""
        return (self.folder / "s3.log").read_text(errors="replace")

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process, "the S3 server does not run"
        return self._process

    def __enter__(self) -> Self:
        """Return the running server."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()


class Fault(StrEnum):
    """What the proxy may do to a request instead of passing it on as it is."""

    THROTTLE = "503 SlowDown, without asking the server"
    ERROR = "500 InternalError, without asking the server"
    SLOW = "the answer comes late"
    CUT_REQUEST = "the connection is cut in the middle of the request"
    CUT_ANSWER = "the server has done it, and the connection is cut before its answer"


REFUSALS = {Fault.THROTTLE: (503, "SlowDown"), Fault.ERROR: (500, "InternalError")}


@dataclass
class FaultProxy:
    """A proxy in front of a server that closes the connection after each answer. It runs in a thread; use it in `with`.

    Attributes:
        target: port of the server, on the loopback interface
        seed: decides which requests meet a fault
        rates: the share of requests that meet each fault, from 0 to 1; may be changed at any time
        delay_seconds: longest delay of a slow answer
        injected: how many requests have met each fault

    """

    target: int
    seed: int
    rates: Mapping[Fault, float] = field(default_factory=dict)
    delay_seconds: float = 2.0
    injected: Counter[Fault] = field(default_factory=Counter)
    port: int = field(default_factory=free_port)

    @property
    def endpoint(self) -> str:
        """The proxy's URL."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        """Listen."""
        self._random = random.Random(self.seed)  # noqa: S311 (not a secret)
        self._serving = set[asyncio.Task[Any] | None]()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy")
        self._thread.start()
        self._server = self._call(asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=HEAD_BYTES))
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening and cut what is open."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._end())
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 (whatever the work returns)
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(START_SECONDS)

    async def _end(self) -> None:
        self._server.close()
        # A connection that was accepted just before becomes a task while others end.
        while open_tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in open_tasks:
                task.cancel()
            await asyncio.gather(*open_tasks, return_exceptions=True)
            await asyncio.sleep(0)

    def _draw(self) -> Fault | None:
        """Choose what happens to the next request."""
        value = self._random.random()
        for fault, rate in self.rates.items():
            if value < rate:
                self.injected[fault] += 1
                return fault
            value -= rate
        return None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # asyncio forgets the task when the client is gone, while it still waits for the server.
        self._serving.add(task := asyncio.current_task())
        try:
            request = _Request.of(await reader.readuntil(END_OF_HEAD))
            fault = self._draw()
            if fault in REFUSALS:
                await _refuse(request, reader, writer, *REFUSALS[fault])
            else:
                await self._pass_on(request, reader, writer, fault)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):  # cancelled when the proxy ends
            _cut(writer)
        finally:
            self._serving.discard(task)
            writer.close()

    async def _pass_on(
        self, request: _Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: Fault | None
    ) -> None:
        answers, server = await asyncio.open_connection("127.0.0.1", self.target)
        sending = None
        try:
            server.write(request.head)
            if fault is Fault.CUT_REQUEST:
                await _copy(reader, server, request.half)
                _cut(server)
                _cut(writer)
                return
            sending = asyncio.create_task(_copy(reader, server, request.body_bytes))
            while (answer := await answers.read(PIECE_BYTES)).startswith(CONTINUE):
                writer.write(answer)
            if fault is Fault.CUT_ANSWER:
                writer.write(answer[: len(answer) // 2 if request.is_download else 0])
                _cut(writer)
                return
            if fault is Fault.SLOW:
                await asyncio.sleep(self._random.uniform(0, self.delay_seconds))
            while answer:
                writer.write(answer)
                await writer.drain()
                answer = await answers.read(PIECE_BYTES)
        finally:
            if sending:
                sending.cancel()
            server.close()


@dataclass(frozen=True)
class _Request:
    """The head of an HTTP request; how many bytes follow it at most, and in what follows about half of them."""

    head: bytes
    body_bytes: int
    half: int
    waits: bool  # for `100 Continue`, before it sends the body
    is_download: bool

    @classmethod
    def of(cls, head: bytes) -> Self:
        lines = head.decode("latin-1").lower().split("\r\n")
        fields = {name: value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        is_chunked = "transfer-encoding" in fields  # the client ends it and waits for the answer
        size = int(fields.get("x-amz-decoded-content-length" if is_chunked else "content-length", 0))
        return cls(
            head,
            body_bytes=sys.maxsize if is_chunked else size,
            half=size // 2,
            waits="expect" in fields,
            is_download=lines[0].startswith("get "),
        )


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter | None, size: int) -> None:
    """Copy a number of bytes, or read them without a writer."""
    while size > 0 and (piece := await reader.read(min(size, PIECE_BYTES))):
        if writer:
            writer.write(piece)
            await writer.drain()
        size -= len(piece)


async def _refuse(
    request: _Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, status: int, code: str
) -> None:
    if not request.waits:
        await _copy(reader, None, request.body_bytes)
    content = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>a test</Message></Error>'.encode()
    fields = f"Content-Type: application/xml\r\nContent-Length: {len(content)}\r\nConnection: close"
    writer.write(f"HTTP/1.1 {status} {code}\r\n{fields}".encode() + END_OF_HEAD + content)
    await writer.drain()


def _cut(writer: asyncio.StreamWriter) -> None:
    """End a connection as if it was lost: without what is not sent yet, and with RST."""
    connection = writer.get_extra_info("socket")
    if connection and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
    writer.transport.abort()
