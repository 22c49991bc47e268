"""The result of a query: an Arrow table, with conversions to Polars, pandas, NumPy and DuckDB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from finance_lake.query.values import rows

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from finance_lake.query.times import Zone


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """The rows of a query, in its order.

    Libraries that read Arrow's C stream accept it directly: `polars.DataFrame(result)`, `pyarrow.table(result)`.

    Attributes:
        arrow: the table; prices are `decimal128(18, 8)`, times are `timestamp[us, UTC]`
        version: the version of the table of ticks that was read
        cut: whether rows beyond the limit were left out (only by `Lake.sql(..., cut=True)`)
        tz: the time zone that the query named, which `df(floats=True)` and `pl(floats=True)` show times in; UTC by default

    """

    arrow: pa.Table
    version: int
    cut: bool = False
    tz: str = "UTC"

    def pl(self, *, floats: bool = False, tz: Zone | None = None) -> pl.DataFrame:
        """Return a Polars frame; prices are `Decimal(18, 8)`.

        With `floats`, decimals are Float64, as exact as in `df`, and times are in the zone `tz`. Raises RequestError.
        """
        import polars as pl  # noqa: PLC0415 (takes a third of a second, and not everybody needs it)

        from finance_lake.query.frames import with_floats  # noqa: PLC0415

        return pl.DataFrame(with_floats(self.arrow, tz or self.tz) if floats or tz else self.arrow)

    def df(self, *, floats: bool = False, tz: Zone | None = None) -> pd.DataFrame:
        """Return a pandas frame with Arrow-backed columns, so prices stay decimals and nulls stay null.

        With `floats`, or with a time zone `tz`, columns are NumPy's, as pandas' own functions and plots expect:

        - Decimals are float64, each the nearest to its decimal, as `float(price)` is. A price with at most 15 digits comes
          back exactly by `round(x, 8)`; `==` compares nearest floats, and sums are rounded.
        - The index is the time: `ts_event` with its nanoseconds (so there is no `ts_event_nanos`), or `ts`, as a
          DatetimeIndex of nanoseconds in the zone `tz`. Without such a column, rows are numbered.
        - Integers with a null are float64 and null is NaN, so they are exact up to 2^53. Text stays Arrow's.

        Raises RequestError for an unknown time zone.
        """
        from finance_lake.query.frames import arrow_frame, float_frame  # noqa: PLC0415 (pandas takes a second)

        return float_frame(self.arrow, tz or self.tz) if floats or tz else arrow_frame(self.arrow)

    def to_numpy(self) -> dict[str, np.ndarray]:
        """Return one NumPy array per column: decimals as float64 (as exact as in `df`), times as datetime64[ns] in UTC.

        `ts_event` has its nanoseconds. Null is NaN, NaT or None; integers with a null are float64. Text is an object array.
        """
        from finance_lake.query.frames import arrays  # noqa: PLC0415

        return arrays(self.arrow)

    def relation(self, connection: duckdb.DuckDBPyConnection | None = None) -> duckdb.DuckDBPyRelation:
        """Return a DuckDB relation, on this connection or on DuckDB's default one."""
        import duckdb  # noqa: PLC0415

        return (connection or duckdb).from_arrow(self.arrow)

    def rows(self) -> list[dict[str, Any]]:
        """Return one dictionary per row, with prices as `Decimal` and times as aware `datetime`."""
        return rows(self.arrow)

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        names: list[str] = self.arrow.column_names
        return names

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self.arrow.num_rows)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Pass the table to another library without a copy."""
        return self.arrow.__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        """Return row count, version and columns. The rows are untrusted data and are not shown."""
        return f"Result({len(self):,} rows as of version {self.version}: {', '.join(self.columns)})"
