"""Answers that many viewers want at once: each is computed once for a version, in a few threads, and kept for a while."""

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
    """More is asked at once than is answered."""


class Answers:
    """JSON by question. What is asked again while it is being computed is not computed twice."""

    def __init__(self, at_once: int = AT_ONCE, most_waiting: int = MAX_WAITING) -> None:
        """Know nothing yet."""
        self._known: OrderedDict[Hashable, bytes] = OrderedDict()
        self._under_way: dict[Hashable, asyncio.Task[bytes]] = {}
        self._slots = asyncio.Semaphore(at_once)
        self._most_waiting = most_waiting
        self._waiting = 0

    async def of(self, question: Hashable, compute: Callable[[], object]) -> bytes:
        """Give the answer to a question. `compute` runs in a thread; what it raises is raised here."""
        if question in self._known:
            self._known.move_to_end(question)
            return self._known[question]
        if question not in self._under_way:
            self._under_way[question] = asyncio.create_task(self._computed(question, compute))
        # One who goes away does not take the answer from the others.
        return await asyncio.shield(self._under_way[question])

    async def fresh(self, compute: Callable[[], bytes]) -> bytes:
        """Give an answer that nobody else wants. Raises BusyError."""
        async with self.slot():
            return await asyncio.to_thread(compute)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Be one of those that are answered at once. Raises BusyError."""
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
