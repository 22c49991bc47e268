"""Time limits for one HTTP connection: to send a request, and to read the response.

Uvicorn waits forever for a request head, and for a client that does not read. 400 such connections would block all others.
Here an idle connection is closed after a while, or earlier if its client has too many of them. A connection whose client
stalls a response is dropped.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio

ASK_SECONDS = 10.0
# How long one response may wait for its client in total. For 32 MB that is about a megabyte per second.
TAKE_SECONDS = 30.0
MAX_IDLE_PER_CLIENT = 64


class Connection(H11Protocol):
    """Uvicorn's HTTP protocol with time limits."""

    _asking: asyncio.TimerHandle | None = None
    _taking: asyncio.TimerHandle | None = None
    _paused_at = 0.0
    _waited = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start waiting for a request. If the client has too many idle connections, drop the oldest."""
        super().connection_made(transport)
        self._await_request()
        host = self.client[0] if self.client else ""
        # `connections` is an unordered set, so the age is read from the timers.
        idle = [peer for peer in self.connections if isinstance(peer, Connection) and peer.is_idle_of(host)]
        if len(idle) > MAX_IDLE_PER_CLIENT:
            min(idle, key=Connection.deadline).drop()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timers."""
        self._cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Stop waiting once the request is complete."""
        super().data_received(data)
        if self._is_answering():
            self._stop_asking()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._waited = 0.0
        self._await_request()
        super().on_response_complete()
        if self._is_answering():  # the next request had already arrived
            self._stop_asking()

    def pause_writing(self) -> None:
        """Start the timer for the client, with the time that is left for this response."""
        super().pause_writing()
        self._paused_at = time.monotonic()
        self._taking = self.loop.call_later(max(0.0, TAKE_SECONDS - self._waited), self.drop)

    def resume_writing(self) -> None:
        """Stop the timer, and add up how long the response has waited."""
        if self._taking:
            self._taking.cancel()
            self._taking = None
            self._waited += time.monotonic() - self._paused_at
        super().resume_writing()

    def is_idle_of(self, host: str) -> bool:
        """Return whether this is an idle connection of that client."""
        return self._asking is not None and (self.client[0] if self.client else "") == host

    def deadline(self) -> float:
        """Return when the connection is closed unless a request arrives, in the event loop's time."""
        return self._asking.when() if self._asking else float("inf")

    def drop(self) -> None:
        """Close the connection without sending the rest."""
        self._cancel()
        self.transport.abort()

    def _await_request(self) -> None:
        self._stop_asking()
        self._asking = self.loop.call_later(ASK_SECONDS, self.drop)

    def _stop_asking(self) -> None:
        if self._asking:
            self._asking.cancel()
            self._asking = None

    def _cancel(self) -> None:
        self._stop_asking()
        if self._taking:
            self._taking.cancel()
            self._taking = None

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body
