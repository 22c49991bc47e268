"""Queries that return bars."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from finance_lake.query import bars
from finance_lake.query.file_cache import FILE
from finance_lake.query.relations import source
from finance_lake.query.result import Result
from finance_lake.query.selection import Selection, selection, step_us, timestamp
from finance_lake.query.snapshot import open_snapshot
from finance_lake.query.tick_queries import TickQueries
from finance_storage.paths import TICKS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow as pa

    from finance_lake.query.times import AsOf, Time


class BarQueries(TickQueries):
    """The queries of `Lake` that return bars."""

    def bars(
        self,
        size: str = "1m",
        symbols: str | Iterable[str] | None = None,
        start: Time | None = None,
        end: Time | None = None,
        as_of: AsOf | None = None,
    ) -> Result:
        """Return bars by symbol, then time: symbol, ts, open, high, low, close, volume, vwap, ticks.

        Args:
            size: a number and s, m, h or d, one day at most: `1s`, `5m`, `1h`, `1d`; bars begin at multiples of it since 1970
            symbols: one, several, or all
            start: only bars that begin at or after this time
            end: only bars that begin before this time; bars are always whole
            as_of: a version or a time

        `ts` is when a bar begins. open, high, low, close and vwap are `decimal128(18, 8)`, volume and ticks int64. A bucket
        without ticks has no bar. A tick without size counts as volume 0. vwap is null for a bar without volume, or with any
        tick larger than 10^12. A volume beyond 64 bits is null.
        """
        wanted, step, snapshot = selection(symbols, start, end), step_us(size), open_snapshot(self.paths, as_of)
        whole_bars = _widened(wanted, step)
        files = snapshot.files_of(whole_bars)
        question = ("bars", step, wanted.symbols)
        where = Selection(wanted.symbols).where

        def compute(missing: Sequence[str]) -> pa.Table:
            rows = f"(SELECT * FROM {source(TICKS, missing, with_file=True)} WHERE {where})"
            return self.engine.table(bars.partial(rows, step, f"{FILE}, "))

        partials = self._partials.of(question, files, compute)
        within = f"SELECT * FROM partials WHERE {_bucket_range(wanted, step)}"
        return Result(self.engine.table(bars.whole(within, step), partials=partials), snapshot.version)


def _widened(wanted: Selection, step: int) -> Selection:
    """Return the selection of ticks that whole bars need: the last bar may end after `end`."""
    longer = timedelta(microseconds=step)
    try:
        return Selection(wanted.symbols, wanted.start, wanted.end and wanted.end + longer)
    except OverflowError:
        return Selection(wanted.symbols, wanted.start)


def _bucket_range(wanted: Selection, step: int) -> str:
    begins = f"make_timestamptz(stretch * {step})"
    terms = [f"{begins} >= {timestamp(wanted.start)}"] if wanted.start else []
    terms += [f"{begins} < {timestamp(wanted.end)}"] if wanted.end else []
    return " AND ".join(terms) or "true"
