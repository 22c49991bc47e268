"""The result of a query: an Arrow table, with conversions to Polars, pandas and DuckDB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from finance_lake.query.values import rows

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import polars as pl
    import pyarrow as pa


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """The rows of a query, in its order.

    Libraries that read Arrow's C stream accept it directly: `polars.DataFrame(result)`, `pyarrow.table(result)`.

    Attributes:
        arrow: the table; prices are `decimal128(18, 8)`, times are `timestamp[us, UTC]`
        version: the version of the table of ticks that was read
        cut: whether rows beyond the limit were left out (only by `Lake.sql(..., cut=True)`)

    """

    arrow: pa.Table
    version: int
    cut: bool = False

    def pl(self) -> pl.DataFrame:
        """Return a Polars frame; prices are `Decimal(18, 8)`."""
        import polars as pl  # noqa: PLC0415 (takes a third of a second, and not everybody needs it)

        return pl.DataFrame(self.arrow)

    def df(self) -> pd.DataFrame:
        """Return a pandas frame with Arrow-backed columns, so prices stay decimals and nulls stay null."""
        import pandas as pd  # noqa: PLC0415 (takes a second)

        frame: pd.DataFrame = self.arrow.to_pandas(types_mapper=pd.ArrowDtype)
        return frame

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
