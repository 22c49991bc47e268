"""A lake of contract version 1 goes on under version 2, which accepts more symbols: nothing lost, nothing twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pytest

from finance_contract import CONTRACT_VERSION, Malformed, Reason, decode
from finance_contract.tick import SYMBOL_VERSION_1
from finance_job.repair import redrive
from finance_job.sink import Sink
from finance_job.writer import Writer
from finance_kafka.range_reader import Record
from finance_storage.delta_table import open_table
from finance_storage.paths import QUARANTINE, TICKS, LakePaths
from finance_verify.context import VerifyContext
from finance_verify.verify import verify
from tests.support.lakes import ARRIVED, BAD, GOOD, RECORDS, BuiltLake

if TYPE_CHECKING:
    from pathlib import Path

    from finance_contract import Tick
    from finance_job.worker_task import WorkerTask
    from finance_kafka.offsets import OffsetRange
    from finance_storage.data_file import WrittenFile
    from finance_verify.verdict import Finding

OPTION = b'{"symbol": "AAPL  251219C00150000", "price": 12.35}'
LOWER = b'{"symbol": "aapl", "price": 5}'
SPACE = b'{"symbol": "AAPL ", "price": 5}'
FIRST = [GOOD, OPTION, BAD, SPACE]
HALF = [GOOD, LOWER, GOOD, BAD]


class OfHalf(NamedTuple):
    """A reader that has the half-committed batch, as Kafka has."""

    start: int

    def ranges(self) -> dict[int, OffsetRange]:
        raise NotImplementedError

    def read(self, _ranges: object, _batch: object, task: WorkerTask) -> list[WrittenFile]:
        rows = [
            {"key": None, "value": value, "partition": 0, "offset": self.start + place, "timestamp": 1_764_000_000_000_000}
            for place, value in enumerate(HALF)
        ]
        return list(task.files(iter([pa.RecordBatch.from_pylist(rows, RECORDS)])))


def decode_version_1(value: bytes | None) -> Tick:
    tick = decode(value)
    if not SYMBOL_VERSION_1.fullmatch(tick.symbol):
        raise Malformed(Reason.SYMBOL_INVALID, repr(tick.symbol))
    return tick


@pytest.fixture
def old(tmp_path: Path) -> BuiltLake:
    """Return a lake that a job of version 1 wrote and that it left with a batch only in the quarantine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("finance_job.decode.decode", decode_version_1)
        patch.setattr("finance_job.decode.decode_batch_fast", lambda _: None)
        for module in ("writer", "tables"):
            patch.setattr(f"finance_job.{module}.CONTRACT_VERSION", 1)
        lake = BuiltLake(tmp_path)
        lake.store(FIRST)
        lake.commit(QUARANTINE, lake.write(HALF, 0, lake.plan(len(HALF))))
    return lake


def rows(paths: LakePaths, name: str, column: str) -> dict[int, object]:
    """Return a column of a table by offset."""
    table = open_table(paths.table(name))
    assert table is not None
    content = table.to_pyarrow_table()
    pairs = zip(content.column("kafka_offset").to_pylist(), content.column(column).to_pylist(), strict=True)
    listed = list(pairs)
    assert len(dict(listed)) == len(listed)
    return dict(sorted(listed))


def go_on(lake: BuiltLake) -> Writer:
    """Start a job of version 2 and let it finish the half batch."""
    writer = Writer(lake.paths, lake.identity)
    assert Sink(lake.paths, writer, OfHalf(len(FIRST)), lambda _: None).finish() is not None
    return writer


def with_values(lake: BuiltLake) -> tuple[Finding, ...]:
    """Compare the tables with the records that the topic has; those of the ticks that `OfHalf` reads are of their own time."""
    arrived = {4: 1_764_000_000_000, 6: 1_764_000_000_000}
    first = round(1000 * ARRIVED.timestamp())
    records = [Record(0, at, arrived.get(at, first), b"AAPL", value) for at, value in enumerate([*FIRST, *HALF])]
    return verify(lake.paths, VerifyContext(lake.identity.topic, lambda: lake.broker, lambda *_: [records])).findings


def test_a_half_committed_batch_of_version_1_is_finished_with_each_record_in_one_table(old: BuiltLake) -> None:
    writer = go_on(old)
    assert rows(old.paths, TICKS, "symbol") == {0: "AAPL", 4: "AAPL", 6: "AAPL"}
    assert [*rows(old.paths, QUARANTINE, "reason")] == [1, 2, 3, 5, 7]
    assert not writer.half_committed()
    assert verify(old.paths, VerifyContext(old.identity.topic, None)).findings == ()


def test_each_commit_says_which_version_it_follows(old: BuiltLake) -> None:
    assert {old.writer.metadata(name).contract for name in (TICKS, QUARANTINE)} == {1}
    writer = go_on(old)
    assert {writer.metadata(name).contract for name in (TICKS, QUARANTINE)} == {CONTRACT_VERSION} == {2}


def test_redrive_brings_in_the_symbols_that_version_1_quarantined(old: BuiltLake) -> None:
    assert redrive.redrive(old.paths, go_on(old), "symbol_invalid").moved == 2
    assert rows(old.paths, TICKS, "symbol") == {0: "AAPL", 1: "AAPL  251219C00150000", 4: "AAPL", 5: "aapl", 6: "AAPL"}
    assert [*rows(old.paths, QUARANTINE, "reason")] == [2, 3, 7]
    assert verify(old.paths, VerifyContext(old.identity.topic, None)).findings == ()


def test_values_of_version_1_are_right_before_and_after_the_redrive(old: BuiltLake) -> None:
    writer = go_on(old)
    assert with_values(old) == ()
    redrive.redrive(old.paths, writer, "symbol_invalid")
    assert with_values(old) == ()
