"""One connection of a browser: how long it may take to ask, and how long to take its answer.

Uvicorn waits without end for a request's head, and for a reader that does not read: with four hundred such connections nobody
else is answered. Here a connection that asks nothing is closed after a while, and at once where its client has many of them; a
connection whose reader holds an answer up is cut off.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio

ASK_SECONDS = 10.0
# How long one answer may wait for its reader, in sum: 32 MB in it are a megabyte a second.
TAKE_SECONDS = 30.0
MAX_IDLE_PER_CLIENT = 64


class Connection(H11Protocol):
    """Uvicorn's protocol with limits of time."""

    _asking: asyncio.TimerHandle | None = None
    _taking: asyncio.TimerHandle | None = None
    _paused_at = 0.0
    _waited = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request; too many that wait for the same client push out the oldest of them."""
        super().connection_made(transport)
        self._await_request()
        host = self.client[0] if self.client else ""
        # `connections` is a set: the timers tell the age.
        idle = [one for one in self.connections if isinstance(one, Connection) and one.is_idle_of(host)]
        if len(idle) > MAX_IDLE_PER_CLIENT:
            min(idle, key=Connection.deadline).drop()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        self._cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Stop waiting where the request is there as a whole."""
        super().data_received(data)
        if self._is_answering():
            self._stop_asking()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._waited = 0.0
        self._await_request()
        super().on_response_complete()
        if self._is_answering():  # the next one was there already
            self._stop_asking()

    def pause_writing(self) -> None:
        """Wait for the reader as long as this answer may still wait."""
        super().pause_writing()
        self._paused_at = time.monotonic()
        self._taking = self.loop.call_later(max(0.0, TAKE_SECONDS - self._waited), self.drop)

    def resume_writing(self) -> None:
        """Count for how long the answer had to wait."""
        if self._taking:
            self._taking.cancel()
            self._taking = None
            self._waited += time.monotonic() - self._paused_at
        super().resume_writing()

    def is_idle_of(self, host: str) -> bool:
        """Whether it is a connection of that client which asks nothing."""
        return self._asking is not None and (self.client[0] if self.client else "") == host

    def deadline(self) -> float:
        """When it is closed unless a request comes."""
        return self._asking.when() if self._asking else float("inf")

    def drop(self) -> None:
        """Close it, whatever is still to be sent."""
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
