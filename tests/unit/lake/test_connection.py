"""Clients of the dashboard that ask nothing, read nothing or go away; over real sockets."""

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
    """A server that runs."""

    server: Server
    port: int


@pytest.fixture
def serving(built: BuiltLake, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    monkeypatch.setattr(connection, "ASK_SECONDS", 1.0)
    monkeypatch.setattr(connection, "TAKE_SECONDS", 1.0)
    monkeypatch.setattr(connection, "MAX_IDLE_PER_CLIENT", 20)
    monkeypatch.setattr(panels, "SQL", panels.SQL_CSV)
    dashboard = Dashboard(built.paths)
    running, taken = server(dashboard), bind("127.0.0.1", 0)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [taken]})
    thread.start()
    while not running.started:
        time.sleep(0.01)
    yield Serving(running, taken.getsockname()[1])
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
        for one in opened:
            one.close()


def asked(port: int) -> bytes:
    """Ask on a connection of its own; give the first line."""
    with connected(port) as (one,):
        one.sendall(STATUS)
        return one.recv(100).partition(b"\r\n")[0]


def wait_for(one: socket.socket, text: bytes) -> None:
    """Read until a text has come."""
    seen = b""
    while text not in seen:
        piece = one.recv(10_000)
        assert piece, seen
        seen += piece


def is_closed(one: socket.socket) -> bool:
    """Read until the end, whatever comes before it."""
    try:
        while one.recv(1 << 20):
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
def test_who_does_not_ask_to_the_end_is_let_go(port: int, begun: bytes) -> None:
    with connected(port) as (one,):
        one.sendall(begun)
        began = time.monotonic()
        assert is_closed(one)
        assert time.monotonic() - began < 5


def test_who_asks_a_byte_at_a_time_is_let_go(port: int) -> None:
    with connected(port) as (one,):
        one.settimeout(0.1)
        began = time.monotonic()
        for byte in STATUS:
            one.sendall(bytes([byte]))
            with suppress(TimeoutError):
                if not one.recv(1):
                    break
        assert time.monotonic() - began < 0.1 * len(STATUS)


def test_many_who_ask_nothing_keep_nobody_from_being_answered(port: int) -> None:
    with connected(port, 450):
        for _ in range(5):
            assert asked(port) == b"HTTP/1.1 200 OK"


def test_who_asks_again_and_again_and_who_watches_stay_connected(port: int) -> None:
    with connected(port, 2) as (one, viewer):
        viewer.sendall(b"GET /api/events HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        for _ in range(8):
            one.sendall(STATUS)
            time.sleep(0.4)
            assert one.recv(1000).startswith(b"HTTP/1.1 200 OK")
        viewer.settimeout(5)
        seen = b""
        while seen.count(b"event: status") < 2:
            seen += viewer.recv(10_000)


def test_who_does_not_read_holds_a_slot_for_a_while_only(serving: Serving) -> None:
    with connected(serving.port, MAX_CONCURRENT_SQL) as slow:
        for one in slow:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.sendall(sql(LARGE))
        time.sleep(0.5)
        with connected(serving.port) as (patient,):
            patient.sendall(sql("SELECT 42 AS n"))
            wait_for(patient, b"[[42]]")
        time.sleep(3)
        assert len(serving.server.server_state.connections) == 0


def test_a_large_answer_arrives_whole(port: int) -> None:
    with connected(port) as (one,):
        one.sendall(sql(LARGE).replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1))
        answer = b""
        while piece := one.recv(1 << 20):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}".encode() in head
    assert len(json.loads(body)["rows"]) == 20_000


def test_an_answer_that_is_too_large_once_it_is_encoded_is_refused(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panels, "MAX_ANSWER_BYTES", 1_000_000)
    with connected(port) as (one,):
        one.sendall(sql("SELECT repeat(chr(1), 200000) AS x"))  # six bytes each in JSON
        wait_for(one, b"larger than")


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
def test_who_goes_away_leaves_no_traceback(
    port: int, begun: bytes, pause: float, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with connected(port) as (one,):
        one.sendall(begun)
        time.sleep(pause)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")  # as a browser that ends
    assert asked(port) == b"HTTP/1.1 200 OK"
    time.sleep(0.5)
    assert "Traceback" not in capfd.readouterr().err + caplog.text
    assert not [record for record in caplog.records if record.exc_info]
