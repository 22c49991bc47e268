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
    """The dashboard cannot start; the message says why."""


class Server(uvicorn.Server):
    """A server that ends viewers' streams when it stops: uvicorn waits for open responses, and streams never end."""

    def __init__(self, config: uvicorn.Config, feed: CommitFeed) -> None:
        """Set the feed whose streams are ended."""
        super().__init__(config)
        self._feed = feed

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End the streams, then stop."""
        self._feed.close()
        super().handle_exit(sig, frame)


def limit_memory_pools() -> None:
    """Retain less memory: by default each thread keeps a pool of its own."""
    pa.set_memory_pool(pa.system_memory_pool())
    if sys.platform == "linux":
        with suppress(AttributeError):  # another C library than GNU's
            ctypes.CDLL(None).mallopt(M_ARENA_MAX, MAX_ARENAS)


def in_url(host: str) -> str:
    """Format a host for a URL or a Host header: IPv6 addresses in brackets."""
    return f"[{host}]" if ":" in host else host


def bind(host: str, port: int) -> socket.socket:
    """Listen on the port. Raises CannotServeError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise CannotServeError(
            f"Port {port} on {host} cannot be used ({error.strerror}). If another program or dashboard has it, try "
            f"`financelake serve --port {port + 1 if port < 65535 else 8050}`."  # noqa: PLR2004
        ) from None
    return listener


def serve(paths: LakePaths, host: str, port: int, names: list[str], ready: Callable[[], None]) -> None:
    """Serve until stopped; `ready` is called once the port is bound. Raises CannotServeError.

    `names` are additional host names to accept.
    """
    if not LIBRARY.exists():
        raise CannotServeError("The chart library is not installed yet: `make dashboard` installs it.")
    listener = bind(host, port)
    ready()
    limit_memory_pools()
    dashboard = Dashboard(paths, (*LOOPBACK, in_url(host), *names))
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises the signal again after it has stopped
    server(dashboard).run(sockets=[listener])


def server(dashboard: Dashboard) -> Server:
    """Return the configured server."""
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
