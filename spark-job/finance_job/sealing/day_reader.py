"""Read the records of one day from both tables and count them, in steps: a generator that yields after each batch of rows."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from finance_job.sealing.day import Day
from finance_storage import offset_set, place
from finance_storage.delta_table import TIME_STEP, add_actions, open_table
from finance_storage.files import literal
from finance_storage.seals import FileSeal
from finance_verify.data_files import dates, read_rows

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from finance_storage.lake_identity import Identity
    from finance_storage.offset_set import Mask, OffsetSet
    from finance_verify.data_files import FileRows, LoggedFile
    from finance_verify.snapshot import TablePair, TableView

EPOCH = date(1970, 1, 1)
ARRIVAL = ("min.kafka_timestamp", "max.kafka_timestamp", "null_count.kafka_timestamp")


def counted(pair: TablePair, day: date, identity: Identity) -> Generator[None, None, Day]:
    """Count the records of a day and return them. Raises CorruptError, OSError if a file cannot be read."""
    result = Day(day, identity, pair.ticks.version)
    for file in pair.ticks.files:
        if file.date == day:
            for rows in read_rows(file, pair.ticks.columns):
                result.add_ticks(rows)
                yield
            result.add_file(_sealed(file))
            yield
    for rows in _near(pair.quarantine, day):
        result.add_quarantined(rows, _is_of(day, rows))
        yield
    if missing := result.missing():
        for rows in _elsewhere(pair, day, missing):
            result.add_elsewhere(rows)
            yield
    return result


def _sealed(file: LoggedFile) -> FileSeal:
    with place.opened(file.folder.parent, file.folder / file.name) as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type] # it has `readinto`
    return FileSeal(file.name.rpartition("/")[2], file.rows or 0, file.size, sha256)


def _near(quarantine: TableView, day: date) -> Iterator[FileRows]:
    """Yield the rows of the files that may have records of the day, according to the log's statistics."""
    far = _far_from(quarantine, day)
    for file in quarantine.files:
        if file.name not in far:
            yield from read_rows(file, quarantine.columns)


def _far_from(quarantine: TableView, day: date) -> set[str]:
    table = open_table(quarantine.folder, quarantine.version)
    actions = add_actions(table) if table else None
    if actions is None or not set(ARRIVAL) <= set(actions.column_names):
        return set()
    entries = actions.select(["path", *ARRIVAL]).to_pylist()
    return {literal(entry["path"]) for entry in entries if _is_far(entry, datetime.combine(day, time(), UTC))}


def _is_far(entry: dict[str, Any], start: datetime) -> bool:
    first, last, nulls = (entry[name] for name in ARRIVAL)
    if first is None or last is None or nulls != 0:
        return False
    return bool(last + TIME_STEP < start or first >= start + timedelta(days=1))


def _is_of(day: date, rows: FileRows) -> Mask:
    """Return which quarantined records arrived on a day. One without a valid timestamp arrived when it was ingested."""
    arrived = dates(rows.batch, "kafka_timestamp")
    arrived = np.where(arrived < 0, dates(rows.batch, "ingested_at"), arrived)
    is_of: Mask = arrived == (day - EPOCH).days
    return is_of


def _elsewhere(pair: TablePair, day: date, missing: OffsetSet) -> Iterator[FileRows]:
    """Yield the rows of both tables that may have offsets of these ranges, except for ticks of the day."""
    for table in pair.tables:
        for file in table.files:
            if file.date != day and (not file.places or offset_set.common(file.places, missing)):
                yield from read_rows(file, table.columns)
