"""One watcher for all viewers: each commit becomes one message, encoded once, which every viewer gets in its turn.

A viewer has no queue of its own: it has a place, the version that it has seen, and reads on from there. A slow one holds
nothing up and costs no memory; one that comes back goes on from the version that it saw last, also after this server was
started anew.
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
from finance_storage.delta_log import LogTail
from finance_storage.errors import LakeError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from finance_lake.query.engine import Engine
    from finance_storage.paths import LakePaths

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.05
STATUS_SECONDS = 2.0
# A viewer that is further behind asks for everything anew, which costs less.
MAX_CATCH_UP_COMMITS = 600
MAX_BYTES = 8 * 1024 * 1024
RETRY_MS = 1000


def message(event: str, data: bytes, number: int | None = None) -> bytes:
    """Encode a server-sent event; JSON has no line break of its own."""
    name = f"id: {number}\n" if number is not None else ""
    return f"event: {event}\n{name}data: ".encode() + data + b"\n\n"


class CommitFeed:
    """What viewers are told, and when.

    Attributes:
        newest: version of the table of ticks; None while there is no lake
        lake: which lake it is: another one where somebody has deleted the first
        viewers: how many are connected

    """

    def __init__(self, paths: LakePaths, engine: Engine, status: Callable[[], object]) -> None:
        """Watch nothing yet. `status` is asked in a thread after commits, and now and then."""
        self._paths = paths
        self._engine = engine
        self._status = status
        self._tail = LogTail(paths.ticks)
        self._told = OrderedDict[int, bytes]()
        self._bytes = 0
        self._moved = asyncio.Condition()
        self._making = asyncio.Lock()
        self._news = b""
        self._closing = False
        self.newest: int | None = None
        self.lake = ""
        self.viewers = 0

    async def watch(self) -> None:
        """Look at the log until cancelled."""
        due = 0.0
        while True:
            try:
                moved = await self._look()
                if moved or time.monotonic() >= due:
                    self._news = message("status", msgspec.json.encode(await asyncio.to_thread(self._status)))
                    due = time.monotonic() + STATUS_SECONDS
                    await self._wake()
            except Exception:  # whatever it is: viewers must not stand still because of one look
                log.exception("The lake could not be looked at; trying again.")
                await asyncio.sleep(STATUS_SECONDS)
            await asyncio.sleep(LOOK_SECONDS)

    def close(self) -> None:
        """Let every viewer's stream end: a server that stops waits for them."""
        self._closing = True

    async def messages(self, lake: str | None, after: int | None) -> AsyncIterator[bytes]:
        """Give a viewer all that follows the version it has seen, of the lake that it has seen."""
        self.viewers += 1
        try:
            yield f"retry: {RETRY_MS}\n\n".encode()
            # Who names neither is told where it begins; who names a version alone takes the lake to be the same.
            seen, news = (self.lake if lake is None and after is not None else lake), b""
            place = self.newest if after is None else after
            while not self._closing:
                newest = self.newest
                if seen != self.lake or (place is None) != (newest is None) or not self._reaches(place, newest):
                    seen, place = self.lake, newest
                    yield message("reset", msgspec.json.encode({"lake": seen, "version": newest}), newest)
                while place is not None and newest is not None and place < newest:
                    told = await self._tell(place + 1)
                    place = place + 1 if told else None
                    if told is None:
                        break
                    yield told
                if news != self._news:
                    news = self._news
                    yield news
                async with self._moved:
                    if self.newest == newest and news == self._news and not self._closing:
                        await self._moved.wait()
        finally:
            self.viewers -= 1

    @staticmethod
    def _reaches(place: int | None, newest: int | None) -> bool:
        return place is None or newest is None or newest - MAX_CATCH_UP_COMMITS <= place <= newest

    async def _look(self) -> bool:
        newest, lake = self._tail.look(), self._lake()
        if newest is None:
            lake = ""
        if lake != self.lake or (newest or 0) < (self.newest or 0):
            self._told.clear()
            self._bytes = 0
            self.lake, self.newest = lake, newest
            return True
        if newest is None or newest == self.newest:
            return False
        for version in range((self.newest or 0) + 1, newest + 1):
            await self._tell(version)
            self.newest = version
            await self._wake()
        return True

    async def _tell(self, version: int) -> bytes | None:
        """Give the message of a version, made now if it is not known; None where the log no longer has it."""
        async with self._making:  # many viewers may come back at once and ask for the same
            if known := self._told.get(version):
                return known
            try:
                said = await asyncio.to_thread(change, self._paths, self._engine, version)
            except LakeError:
                return None
            if said is None:
                return None
            told = message("commit", msgspec.json.encode(said), version)
            self._keep(version, told)
            return told

    def _keep(self, version: int, told: bytes) -> None:
        self._told[version] = told
        self._bytes += len(told)
        while self._bytes > MAX_BYTES and len(self._told) > 1:
            self._bytes -= len(self._told.popitem(last=False)[1])

    async def _wake(self) -> None:
        async with self._moved:
            self._moved.notify_all()

    def _lake(self) -> str:
        """Name the lake by the first entry of its log, which is written once. When clean-up removes it viewers load anew."""
        log = self._paths.ticks / "_delta_log"
        with suppress(FileNotFoundError):
            first = (log / f"{0:020d}.json").stat()
            return f"{crc32(f'{first.st_ino} {first.st_mtime_ns}'.encode()):08x}"
        return "cleaned" if log.exists() else "unnamed"
