"""One watcher for all viewers: each commit is encoded once, and the same message is sent to every viewer.

Viewers have no queues. Each has a position, the version it has seen, and reads on from there. A slow viewer blocks nobody and
uses no memory. A reconnecting viewer resumes after the version it saw last, even if the server was restarted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING
from zlib import crc32

import msgspec

from finance_lake.dashboard.commit_update import change
from finance_storage import place
from finance_storage.delta_log import LogTail
from finance_storage.errors import LakeError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from finance_lake.query.engine import Engine
    from finance_storage.paths import LakePaths

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.05
LOOK_SECONDS_IN_A_BUCKET = 0.5  # each look is a request or two
STATUS_SECONDS = 2.0
# A viewer that is further behind gets a reset: fetching everything again costs less.
MAX_CATCH_UP_COMMITS = 600
MAX_BYTES = 8 * 1024 * 1024
RETRY_MS = 1000


def message(event: str, data: bytes, number: int | None = None) -> bytes:
    """Encode a server-sent event. JSON data contains no line breaks."""
    name = f"id: {number}\n" if number is not None else ""
    return f"event: {event}\n{name}data: ".encode() + data + b"\n\n"


class CommitFeed:
    """The stream of commits and statuses for all viewers.

    Attributes:
        newest: newest version of the table of ticks; None while there is no lake
        lake: identifies the lake; changes if it is deleted and created again
        viewers: number of connected viewers

    """

    def __init__(self, paths: LakePaths, engine: Engine, status: Callable[[], object]) -> None:
        """Create a feed; `watch` starts it. `status` is called in a thread, after commits and every STATUS_SECONDS."""
        self._paths = paths
        self._engine = engine
        self._status = status
        self._tail = LogTail(paths.ticks)
        self._messages = OrderedDict[int, bytes]()
        self._bytes = 0
        self._changed = asyncio.Condition()
        self._lock = asyncio.Lock()
        self._last_status = b""
        self._closing = False
        self.newest: int | None = None
        self.lake = ""
        self.viewers = 0

    async def watch(self) -> None:
        """Poll the log until cancelled."""
        due = 0.0
        while True:
            try:
                changed = await self._look()
                if changed or time.monotonic() >= due:
                    self._last_status = message("status", msgspec.json.encode(await asyncio.to_thread(self._status)))
                    due = time.monotonic() + STATUS_SECONDS
                    await self._wake()
            except Exception:  # one failure must not stop the stream of all viewers
                log.exception("The lake cannot be read; trying again.")
                await asyncio.sleep(STATUS_SECONDS)
            await asyncio.sleep(LOOK_SECONDS_IN_A_BUCKET if self._paths.is_in_a_bucket else LOOK_SECONDS)

    def close(self) -> None:
        """End all viewers' streams, because a stopping server waits for them."""
        self._closing = True

    async def messages(self, lake: str | None, after: int | None) -> AsyncIterator[bytes]:
        """Yield the messages that follow version `after` of a lake; both are None for a new viewer."""
        self.viewers += 1
        try:
            yield f"retry: {RETRY_MS}\n\n".encode()
            # A viewer that names neither gets a reset first. One that names only a version is assumed to have this lake.
            seen, status = (self.lake if lake is None and after is not None else lake), b""
            position = self.newest if after is None else after
            while not self._closing:
                newest = self.newest
                if seen != self.lake or (position is None) != (newest is None) or not self._reaches(position, newest):
                    seen, position = self.lake, newest
                    yield message("reset", msgspec.json.encode({"lake": seen, "version": newest}), newest)
                while position is not None and newest is not None and position < newest:
                    commit = await self._message_of(position + 1)
                    position = position + 1 if commit else None
                    if commit is None:
                        break
                    yield commit
                if status != self._last_status:
                    status = self._last_status
                    yield status
                async with self._changed:
                    if self.newest == newest and status == self._last_status and not self._closing:
                        await self._changed.wait()
        finally:
            self.viewers -= 1

    @staticmethod
    def _reaches(position: int | None, newest: int | None) -> bool:
        return position is None or newest is None or newest - MAX_CATCH_UP_COMMITS <= position <= newest

    async def _look(self) -> bool:
        newest, lake = self._tail.poll(), self._lake()
        if newest is None:
            lake = ""
        if lake != self.lake or (newest or 0) < (self.newest or 0):
            self._messages.clear()
            self._bytes = 0
            self.lake, self.newest = lake, newest
            return True
        if newest is None or newest == self.newest:
            return False
        for version in range((self.newest or 0) + 1, newest + 1):
            await self._message_of(version)
            self.newest = version
            await self._wake()
        return True

    async def _message_of(self, version: int) -> bytes | None:
        """Return the message of a version, encoding it if it is not cached; None if the log no longer has it."""
        async with self._lock:  # many viewers may reconnect at once and need the same version
            if cached := self._messages.get(version):
                return cached
            try:
                update = await asyncio.to_thread(change, self._paths, self._engine, version)
            except LakeError:
                return None
            if update is None:
                return None
            encoded = message("commit", msgspec.json.encode(update), version)
            self._keep(version, encoded)
            return encoded

    def _keep(self, version: int, encoded: bytes) -> None:
        self._messages[version] = encoded
        self._bytes += len(encoded)
        while self._bytes > MAX_BYTES and len(self._messages) > 1:
            self._bytes -= len(self._messages.popitem(last=False)[1])

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _lake(self) -> str:
        """Identify the lake by the first entry of its log, which is written once. If log clean-up removes it, viewers reset."""
        log = self._paths.ticks / "_delta_log"
        with suppress(FileNotFoundError):
            first = place.status_of(self._paths.root, log / f"{0:020d}.json")
            return f"{crc32(f'{first.st_ino} {first.st_mtime} {first.st_size}'.encode()):08x}"
        return "cleaned" if place.exists(log) else "unnamed"
