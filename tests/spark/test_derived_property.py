"""Stored bars are those that Polars computes, whatever happens to the ticks: late ones of any age, redrives, repairs, merges.

At the end, the bars as known at each earlier version are those of that version.
"""

from __future__ import annotations

import tempfile
import threading
from contextlib import contextmanager, nullcontext
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pytest
import structlog
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from finance_contract import Malformed, Reason, Tick, decode
from finance_contract.tick import encode
from finance_job.derived import sessions
from finance_job.derived.bars_1m import BARS_1M
from finance_job.derived.following import Following
from finance_job.derived.sessions import FEW_TICKS, tick_table
from finance_job.maintenance.compaction import Maintenance
from finance_job.repair import redrive
from finance_job.repair.altered_rows import altered_rows, report_of
from finance_job.repair.recover import Recovery
from finance_job.repair.recovery_plan import make_plan
from finance_job.writer import Writer
from finance_lake import derived
from finance_lake.lake import Lake
from finance_storage import delta_log
from finance_storage.delta_table import open_table
from finance_storage.derived_tables import position
from tests.support.lakes import LAKE, RECORDS, TOPIC, BuiltLake
from tests.support.polars_bars import bars_of
from tests.support.stack import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pyspark.sql import SparkSession

    from finance_kafka.offsets import OffsetRange

pytestmark = pytest.mark.spark

NOW_NS = int(datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()) * 10**9
OLDEST_NS = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp()) * 10**9
LAST_NS = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp()) * 10**9 - 1
MINUTE_NS = 60 * 10**9
BAR = ("symbol", "ts", "open", "high", "low", "close", "volume", "vwap")
LATER = "LATER"  # a symbol that the rules do not accept until a redrive

AGES = (
    st.integers(0, 3 * MINUTE_NS)
    | st.integers(0, 200)
    | st.integers(0, 3 * 24 * 60).map(lambda minutes: minutes * MINUTE_NS)
    | st.integers(NOW_NS - LAST_NS, NOW_NS - OLDEST_NS)
)
TICKS = st.builds(
    Tick,
    symbol=st.sampled_from(["AAPL", "MSFT", LATER]),
    price=st.integers(1, 10**18 - 1).map(lambda unscaled: Decimal(unscaled).scaleb(-8)),
    size=st.none() | st.integers(0, 1000),
    ts_event=AGES.map(lambda age: NOW_NS - age),
)
STORE = st.tuples(st.just("store"), st.lists(TICKS, min_size=1, max_size=12), st.integers(0, 1))
OTHER = st.sampled_from(["redrive", "compact", "lose", "restart", "follow"]).map(lambda name: (name,))


class Story:
    """A lake, its topic, and the thread that keeps its bars."""

    def __init__(self, session: SparkSession, root: Path) -> None:
        """Make the lake; nothing follows it yet."""
        self.lake = BuiltLake(root, partitions=2)
        self.topic: dict[int, list[bytes]] = {0: [], 1: []}
        self.is_strict = True
        self._session = session
        self._thread: Following | None = None

    def decode(self, value: bytes | None) -> Tick:
        tick = decode(value)
        if self.is_strict and tick.symbol == LATER:
            raise Malformed(Reason.SYMBOL_INVALID, "not yet")
        return tick

    def store(self, ticks: list[Tick], partition: int) -> None:
        values = [encode(tick) for tick in ticks]
        self.topic[partition] += values
        self.lake.store(values, partition)

    def redrive(self) -> None:
        self.is_strict = False
        assert redrive.answer_to(self.lake.paths, self.lake.writer, redrive.ALL).done
        self.is_strict = True

    def compact(self) -> None:
        Maintenance(
            self.lake.paths, self.lake.writer, nullcontext, structlog.get_logger(), today=lambda: date(2026, 12, 1)
        ).all()

    def lose(self) -> None:
        """Delete rows, as another tool might, and repair the tables from the topic."""
        DeltaTable(str(self.lake.paths.ticks)).delete("kafka_offset % 3 = 0")
        self.is_strict = False  # what was redriven is read from the topic again
        broker = self.lake.broker
        plan = make_plan(self.lake.paths, TOPIC, broker, {}, altered_rows(report_of(self.lake.paths, TOPIC, broker)))
        Recovery(self.lake.paths, partial(self._replay), plan, lambda _: None).run()
        self.lake.writer = Writer(self.lake.paths, plan.identity)
        self.is_strict = True

    def _replay(self, ranges: Mapping[int, OffsetRange]) -> Iterator[pa.RecordBatch]:
        for partition, span in ranges.items():
            for offset in range(span.start, span.end):
                row = {"key": b"AAPL", "value": self.topic[partition][offset], "partition": partition, "offset": offset}
                yield pa.RecordBatch.from_pylist([{**row, "timestamp": self.lake.arrived}], RECORDS)

    def restart(self) -> None:
        self.stop()
        ticks = tick_table(self._session, self.lake.paths, LAKE)
        self._thread = Following(ticks, BARS_1M, 0.1, threading.Lock(), structlog.get_logger())
        self._thread.start()

    def stop(self) -> None:
        if self._thread:
            self._thread.stop()
            self._thread.close()
        self._thread = None

    def follow(self) -> None:
        """Wait until the bars are as of the newest change of the ticks, and compare them."""
        if self._thread is None:
            self.restart()
        newest = DeltaTable(str(self.lake.paths.ticks)).version()
        changed = next(
            (entry.version for entry in delta_log.entries(self.lake.paths.ticks, newest) if entry.rows or entry.deletes), 0
        )
        if not changed:
            return
        wait_until(lambda: (self.as_of() or -1) >= changed, 120, lambda: f"bars as of {changed}, they are as of {self.as_of()}")
        assert self.stored() == self.true(newest)

    def as_of(self) -> int | None:
        table = open_table(self.lake.paths.derived(BARS_1M.name))
        return position(table, BARS_1M.name) if table else None

    def stored(self, as_of: int | None = None) -> list[tuple[Any, ...]]:
        with Lake(self.lake.paths.root) as lake:
            rows = derived.newest(lake, as_of=as_of).arrow
        return [tuple(row.values()) for row in rows.select([*BAR, "tick_count"]).to_pylist()]

    def true(self, version: int) -> list[tuple[Any, ...]]:
        return bars_of(pl.read_delta(str(self.lake.paths.ticks), version=version), "1m")


@contextmanager
def told(session: SparkSession, monkeypatch: pytest.MonkeyPatch) -> Iterator[Story]:
    with tempfile.TemporaryDirectory() as folder, monkeypatch.context() as patched:
        story = Story(session, Path(folder) / "data")
        patched.setattr("finance_job.decode.decode", story.decode)
        try:
            yield story
        finally:
            story.stop()


@pytest.mark.parametrize("examples", [6, pytest.param(60, marks=pytest.mark.faults)])
def test_bars_are_those_of_polars(spark: SparkSession, monkeypatch: pytest.MonkeyPatch, examples: int) -> None:
    @settings(max_examples=examples, deadline=None)
    @given(first=STORE, steps=st.lists(STORE | OTHER, min_size=2, max_size=7), few=st.sampled_from([0, FEW_TICKS]))
    def bars_are_those_of_polars(first: tuple[Any, ...], steps: list[tuple[Any, ...]], few: int) -> None:
        with told(spark, monkeypatch) as story:
            monkeypatch.setattr(sessions, "FEW_TICKS", few)
            for name, *arguments in (first, *steps, ("follow",)):
                getattr(story, name)(*arguments)
            rows = DeltaTable(str(story.lake.paths.derived(BARS_1M.name))).to_pyarrow_table(columns=["as_of", "symbol", "ts"])
            assert rows.num_rows == rows.group_by(rows.column_names).aggregate([]).num_rows
            for version in sorted(set(rows.column("as_of").to_pylist())):
                assert story.stored(as_of=version) == story.true(version)

    bars_are_those_of_polars()
