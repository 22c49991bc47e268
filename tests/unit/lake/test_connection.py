"""Clients of the dashboard that send nothing, read nothing or disconnect; over real sockets."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

import pytest

from finance_lake.dashboard import connection, panels
from finance_lake.dashboard.app import MAX_CONCURRENT_SQL, Dashboard
from finance_lake.dashboard.serve import bind, server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from finance_lake.dashboard.serve import Server
    from tests.support.lakes import BuiltLake

PATIENCE_SECONDS = 20
LARGE = "SELECT repeat('x', 1000) AS x FROM range(20000)"
STATUS = b"GET /api/health HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"


class Serving(NamedTuple):
    """A running server and its port."""

    server: Server
    port: int


@pytest.fixture
def serving(built: BuiltLake, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    monkeypatch.setattr(connection, "ASK_SECONDS", 1.0)
    monkeypatch.setattr(connection, "TAKE_SECONDS", 1.0)
    monkeypatch.setattr(connection, "MAX_IDLE_PER_CLIENT", 20)
    monkeypatch.setattr(panels, "SQL", panels.SQL_CSV)
    dashboard = Dashboard(built.paths)
    running, listener = server(dashboard), bind("127.0.0.1", 0)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()
    while not running.started:
        time.sleep(0.01)
    yield Serving(running, listener.getsockname()[1])
    dashboard.feed.close()
    running.should_exit = True
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()


@pytest.fixture
def port(serving: Serving) -> int:
    return serving.port


@contextmanager
def connected(port: int, count: int = 1) -> Iterator[list[socket.socket]]:
    opened = [socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) for _ in range(count)]
    try:
        yield opened
    finally:
        for client in opened:
            client.close()


def asked(port: int) -> bytes:
    """Send a request on a new connection; return the first line of the response."""
    with connected(port) as (client,):
        client.sendall(STATUS)
        return client.recv(100).partition(b"\r\n")[0]


def wait_for(client: socket.socket, text: bytes) -> None:
    """Read until a text arrives."""
    seen = b""
    while text not in seen:
        piece = client.recv(10_000)
        assert piece, seen
        seen += piece


def is_closed(client: socket.socket) -> bool:
    """Read until the connection ends."""
    try:
        while client.recv(1 << 20):
            pass
    except ConnectionResetError:
        pass
    return True


def sql(query: str) -> bytes:
    body = json.dumps({"query": query}).encode()
    head = f"POST /api/sql HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


UNFINISHED = [
    b"",
    b"G",
    STATUS[:-2],
    sql("SELECT 1")[:-1],
    STATUS + b"GET",
    sql("SELECT 1")[: sql("SELECT 1").index(b"\r\n\r\n") + 4],
]


@pytest.mark.parametrize("begun", UNFINISHED, ids=lambda begun: begun[-12:].decode())
def test_an_unfinished_request_is_closed(port: int, begun: bytes) -> None:
    with connected(port) as (client,):
        client.sendall(begun)
        began = time.monotonic()
        assert is_closed(client)
        assert time.monotonic() - began < 5


def test_a_request_sent_byte_by_byte_is_closed(port: int) -> None:
    with connected(port) as (client,):
        client.settimeout(0.1)
        began = time.monotonic()
        for byte in STATUS:
            client.sendall(bytes([byte]))
            with suppress(TimeoutError):
                if not client.recv(1):
                    break
        assert time.monotonic() - began < 0.1 * len(STATUS)


def test_many_idle_connections_do_not_block_others(port: int) -> None:
    with connected(port, 450):
        for _ in range(5):
            assert asked(port) == b"HTTP/1.1 200 OK"


def test_active_clients_and_viewers_stay_connected(port: int) -> None:
    with connected(port, 2) as (client, viewer):
        viewer.sendall(b"GET /api/events HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        for _ in range(8):
            client.sendall(STATUS)
            time.sleep(0.4)
            answer = client.recv(1000)
            while not answer.endswith(b"\r\n\r\nok"):  # the body may come in a packet of its own
                answer += client.recv(1000)
            assert answer.startswith(b"HTTP/1.1 200 OK")
        viewer.settimeout(5)
        seen = b""
        while seen.count(b"event: status") < 2:
            seen += viewer.recv(10_000)


def test_a_client_that_does_not_read_is_dropped_and_frees_its_slot(serving: Serving) -> None:
    with connected(serving.port, MAX_CONCURRENT_SQL) as slow:
        for client in slow:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(sql(LARGE))
        time.sleep(0.5)
        with connected(serving.port) as (patient,):
            patient.sendall(sql("SELECT 42 AS n"))
            wait_for(patient, b"[[42]]")
        time.sleep(3)
        assert len(serving.server.server_state.connections) == 0


def test_a_large_response_arrives_complete(port: int) -> None:
    with connected(port) as (client,):
        client.sendall(sql(LARGE).replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1))
        answer = b""
        while piece := client.recv(1 << 20):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}".encode() in head
    assert len(json.loads(body)["rows"]) == 20_000


def test_a_response_that_is_too_large_when_encoded_is_refused(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panels, "MAX_ANSWER_BYTES", 1_000_000)
    with connected(port) as (client,):
        client.sendall(sql("SELECT repeat(chr(1), 200000) AS x"))  # six bytes each in JSON
        wait_for(client, b"larger than")


GONE = [
    sql("SELECT 1")[:-5],
    sql(LARGE),
    sql("SELECT count(*) FROM range(3000000000)"),
    b"GET /api/events HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
    b"GET /api/latest HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
    b"GET /vendor/lightweight-charts.js HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
    b"\x16\x03\x01 no HTTP",
]


@pytest.mark.parametrize("pause", [0.0, 0.3])
@pytest.mark.parametrize("begun", GONE, ids=lambda begun: begun[:20].decode() + begun[-20:].decode())
def test_a_disconnect_leaves_no_traceback(
    port: int, begun: bytes, pause: float, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with connected(port) as (client,):
        client.sendall(begun)
        time.sleep(pause)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")  # as a browser that ends
    assert asked(port) == b"HTTP/1.1 200 OK"
    time.sleep(0.5)
    assert "Traceback" not in capfd.readouterr().err + caplog.text
    assert not [record for record in caplog.records if record.exc_info]
