"""A cache of responses that many viewers need at once. Each is computed once per version, in a limited number of threads."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Hashable

MAX_RESPONSES = 64
MAX_BYTES = 16 * 1024 * 1024
AT_ONCE = 3
MAX_WAITING = 200


class BusyError(Exception):
    """Too many requests are waiting."""


class ResponseCache:
    """Encoded JSON by question. Concurrent requests for the same question share one computation."""

    def __init__(self, at_once: int = AT_ONCE, most_waiting: int = MAX_WAITING) -> None:
        """Create an empty cache, for `at_once` computations and at most `most_waiting` requests, running ones included."""
        self._known: OrderedDict[Hashable, bytes] = OrderedDict()
        self._under_way: dict[Hashable, asyncio.Task[bytes]] = {}
        self._slots = asyncio.Semaphore(at_once)
        self._most_waiting = most_waiting
        self._waiting = 0

    async def of(self, question: Hashable, compute: Callable[[], object]) -> bytes:
        """Return the answer to a question. `compute` runs in a thread; its exceptions are raised here."""
        if question in self._known:
            self._known.move_to_end(question)
            return self._known[question]
        if question not in self._under_way:
            self._under_way[question] = asyncio.create_task(self._computed(question, compute))
        # A cancelled request must not cancel the computation for the others.
        return await asyncio.shield(self._under_way[question])

    async def fresh(self, compute: Callable[[], bytes]) -> bytes:
        """Compute an answer without caching it. Raises BusyError."""
        async with self.slot():
            return await asyncio.to_thread(compute)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a slot and hold it. Raises BusyError if too many requests are waiting."""
        if self._waiting >= self._most_waiting:
            raise BusyError
        self._waiting += 1
        try:
            async with self._slots:
                yield
        finally:
            self._waiting -= 1

    async def _computed(self, question: Hashable, compute: Callable[[], object]) -> bytes:
        try:
            answer = await self.fresh(lambda: msgspec.json.encode(compute()))
            self._known[question] = answer
            while len(self._known) > MAX_RESPONSES or sum(map(len, self._known.values())) > MAX_BYTES:
                self._known.popitem(last=False)
            return answer
        finally:
            del self._under_way[question]
