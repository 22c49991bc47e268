"""A morning of a small market, reproducible: the data of docs/COOKBOOK.md and the notebook.

Three symbols from 10:00 to 12:00 on 24 November 2026, a commit every minute. Some ticks come late, some have no size, one
symbol pauses, a few sequence numbers of the source are missing and a few records are malformed.
"""

from __future__ import annotations

import json
import random
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from finance_job.worker_task import WorkerTask
from finance_storage.paths import QUARANTINE, TICKS
from tests.support.lakes import BAD, RECORDS, BuiltLake

if TYPE_CHECKING:
    from pathlib import Path

OPENING = datetime(2026, 11, 24, 10, tzinfo=UTC)
CLOSING = OPENING + timedelta(hours=2)
EVERY = timedelta(minutes=1)
SOURCE = "sim-7"
CENTS = {"AAPL": 17_450, "IBM": 30_120, "MSFT": 41_205}
PARTITIONS = {"AAPL": 0, "IBM": 0, "MSFT": 1}
SILENT = ("IBM", timedelta(minutes=40), timedelta(minutes=47))
LOST_NUMBERS = (300, 301, 700)
LATE_EVERY = 97
MALFORMED = ((12, BAD), (33, b'{"symbol": "AAPL"}'), (34, BAD), (71, b"\x1b[2Jnonsense"))
STAMP = re.compile(rb'"timestamp":\d+')


class Record(NamedTuple):
    """A record and its time of arrival."""

    arrived: datetime
    symbol: str
    value: bytes


def market(folder: Path) -> BuiltLake:
    """Create the lake in a folder."""
    lake = BuiltLake(folder, partitions=2)
    waiting = sorted(_records())
    committed = OPENING
    _date_commit(lake, committed)
    while waiting:
        committed += EVERY
        batch = [record for record in waiting if record.arrived < committed]
        waiting = waiting[len(batch) :]
        if batch:
            _store(lake, batch)
            _date_commit(lake, committed)
    return lake


def _records() -> list[Record]:
    chance = random.Random(7)  # noqa: S311 (not a secret)
    cents, records, at, number = dict(CENTS), list[Record](), OPENING, 0
    while (at := at + timedelta(microseconds=chance.randrange(200_000, 13_000_000))) < CLOSING:
        symbol = chance.choice(sorted(CENTS))
        cents[symbol] += chance.randrange(-12, 13)
        size = None if chance.random() < 0.1 else chance.randrange(1, 500)
        late = timedelta(minutes=chance.randrange(2, 12)) if not number % LATE_EVERY else timedelta()
        delay = late + timedelta(milliseconds=chance.randrange(20, 400))
        if symbol == SILENT[0] and OPENING + SILENT[1] <= at < OPENING + SILENT[2]:
            continue
        if number not in LOST_NUMBERS:
            records.append(Record(at + delay, symbol, _message(symbol, cents[symbol], size, at, number)))
        number += 1
    malformed = [Record(OPENING + timedelta(minutes=minutes), "AAPL", value) for minutes, value in MALFORMED]
    return records + malformed


def _message(symbol: str, cents: int, size: int | None, at: datetime, number: int) -> bytes:
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    rest = {"size": size, "ts_event": since // timedelta(microseconds=1) * 1000, "seq": number, "source": SOURCE}
    return f'{{"symbol": "{symbol}", "price": {cents // 100}.{cents % 100:02d}, {json.dumps(rest)[1:]}'.encode()


def _store(lake: BuiltLake, batch: list[Record]) -> None:
    start = dict(lake.ends)
    lake.plan_all({number: sum(PARTITIONS[record.symbol] == number for record in batch) for number in start})
    rows = []
    for record in batch:
        partition = PARTITIONS[record.symbol]
        place = {"partition": partition, "offset": start[partition], "timestamp": record.arrived}
        rows.append({"key": record.symbol.encode(), "value": record.value, **place})
        start[partition] += 1
    task = WorkerTask({name: lake.paths.table(name) for name in (TICKS, QUARANTINE)}, _milliseconds(batch[-1].arrived))
    files = list(task.files(iter([pa.RecordBatch.from_pylist(rows, RECORDS)])))
    lake.commit(QUARANTINE, files)
    lake.commit(TICKS, files)


def _date_commit(lake: BuiltLake, committed: datetime) -> None:
    """Set the timestamp of the newest commits."""
    for name in (QUARANTINE, TICKS):
        newest = max((lake.paths.table(name) / "_delta_log").glob("*.json"))
        entry = newest.read_bytes()
        if name == TICKS or committed == OPENING or b"userMetadata" in entry:
            newest.write_bytes(STAMP.sub(b'"timestamp":%d' % _milliseconds(committed), entry, count=1))


def _milliseconds(at: datetime) -> int:
    return round(at.timestamp() * 1000)
