"""Run the dashboard: `financelake serve`."""

from __future__ import annotations

import ctypes
import signal
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import pyarrow as pa
import uvicorn

from finance_lake.dashboard.app import LOOPBACK, PAGE, Dashboard
from finance_lake.dashboard.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from finance_lake.dashboard.feed import CommitFeed
    from finance_storage.paths import LakePaths

LIBRARY = PAGE / "vendor" / "lightweight-charts.js"
STOP_SECONDS = 3
M_ARENA_MAX = -8  # of malloc.h
MAX_ARENAS = 2
MAX_CONNECTIONS = 400


class CannotServeError(Exception):
    """Why not, in a sentence."""


class Server(uvicorn.Server):
    """Uvicorn waits for open answers when it stops, and a viewer's stream is one that never ends by itself."""

    def __init__(self, config: uvicorn.Config, feed: CommitFeed) -> None:
        """Know whose streams to end."""
        super().__init__(config)
        self._feed = feed

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End the streams, then stop."""
        self._feed.close()
        super().handle_exit(sig, frame)


def be_frugal() -> None:
    """Keep less memory for later: by default each of many threads keeps some of its own."""
    pa.set_memory_pool(pa.system_memory_pool())
    if sys.platform == "linux":
        with suppress(AttributeError):  # another C library than GNU's
            ctypes.CDLL(None).mallopt(M_ARENA_MAX, MAX_ARENAS)


def in_url(host: str) -> str:
    """Write an address as it stands in a URL and in a request's Host header: one of IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def bind(host: str, port: int) -> socket.socket:
    """Take the port. Raises CannotServeError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    taken = socket.socket(family, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((host, port))
        taken.listen()
    except OSError as error:
        taken.close()
        raise CannotServeError(
            f"Port {port} of {host} cannot be had ({error.strerror}): another program has it, or another dashboard. "
            f"`financelake serve --port {port + 1 if port < 65535 else 8050}` takes another one."  # noqa: PLR2004
        ) from None
    return taken


def serve(paths: LakePaths, host: str, port: int, names: list[str], ready: Callable[[], None]) -> None:
    """Serve until it is stopped; `ready` is called once the port is had. Raises CannotServeError.

    `names` are further host names that requests may name.
    """
    if not LIBRARY.exists():
        raise CannotServeError("The chart library is not beside the page yet: `make dashboard` puts it there.")
    taken = bind(host, port)
    ready()
    be_frugal()
    dashboard = Dashboard(paths, (*LOOPBACK, in_url(host), *names))
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises it again when it has stopped: that is no failure
    server(dashboard).run(sockets=[taken])


def server(dashboard: Dashboard) -> Server:
    """Prepare the server."""
    config = uvicorn.Config(
        dashboard.app,
        http=Connection,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_SECONDS,
        limit_concurrency=MAX_CONNECTIONS,
        h11_max_incomplete_event_size=16 * 1024,
    )
    return Server(config, dashboard.feed)
