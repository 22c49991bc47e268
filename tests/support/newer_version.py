"""Simulate a later version of the job that writes one more column to each table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from finance_job import worker_task
from finance_job.decode import Decoded, decode_records
from finance_storage.paths import QUARANTINE, TICKS
from finance_storage.schemas import FIELDS, PLAIN, PRICE

if TYPE_CHECKING:
    import pytest

LATER = {TICKS: pa.field("venue", pa.string()), QUARANTINE: pa.field("attempts", pa.int64())}


def write_later_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the workers write the columns, while the committing part of the job does not know them."""

    def decoded(records: pa.RecordBatch, ingested_at: pa.Scalar) -> Decoded:
        ticks, quarantine = decode_records(records, ingested_at)
        return Decoded(_with(ticks, TICKS, "XNYS"), _with(quarantine, QUARANTINE, 3))

    monkeypatch.setattr(worker_task, "decode_records", decoded)


def know_later_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the whole job know the columns."""
    write_later_columns(monkeypatch)
    for name, field in LATER.items():
        monkeypatch.setitem(FIELDS, name, FIELDS[name].append(field))


def add_column_of_each_type(monkeypatch: pytest.MonkeyPatch) -> pa.Schema:
    """Add columns to the table of ticks, in the one place that names its columns; return them."""
    kinds = [*sorted(PLAIN, key=str), PRICE]
    added = pa.schema([(f"later_{place}", kind) for place, kind in enumerate(kinds)])
    monkeypatch.setitem(FIELDS, TICKS, pa.schema([*FIELDS[TICKS], *added]))
    return added


def _with(rows: pa.Table, name: str, value: object) -> pa.Table:
    field = LATER[name]
    return rows.append_column(field, pa.repeat(pa.scalar(value, field.type), len(rows)))
