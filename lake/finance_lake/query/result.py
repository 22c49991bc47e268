"""An answer of the lake: an Arrow table, one step away from Polars, pandas and DuckDB."""

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
    """Rows, in the order in which they were asked for.

    Whatever reads Arrow's C stream takes it as it is: `polars.DataFrame(result)`, `pyarrow.table(result)`.

    Attributes:
        arrow: the table; prices are `decimal128(18, 8)`, times are `timestamp[us, UTC]`
        version: of the table of ticks that was read
        cut: whether rows were left out because there were more than the limit allows (only by `Lake.sql(..., cut=True)`)

    """

    arrow: pa.Table
    version: int
    cut: bool = False

    def pl(self) -> pl.DataFrame:
        """As a Polars frame; prices are `Decimal(18, 8)`."""
        import polars as pl  # noqa: PLC0415 (a third of a second, and not needed by all)

        return pl.DataFrame(self.arrow)

    def df(self) -> pd.DataFrame:
        """As a pandas frame. Its columns stay Arrow's, so that prices stay decimals and null stays null."""
        import pandas as pd  # noqa: PLC0415 (a second)

        frame: pd.DataFrame = self.arrow.to_pandas(types_mapper=pd.ArrowDtype)
        return frame

    def relation(self, connection: duckdb.DuckDBPyConnection | None = None) -> duckdb.DuckDBPyRelation:
        """As a DuckDB relation of a connection, or of DuckDB's own default one."""
        import duckdb  # noqa: PLC0415

        return (connection or duckdb).from_arrow(self.arrow)

    def rows(self) -> list[dict[str, Any]]:
        """As plain Python: a dictionary a row, prices as `Decimal`, times as aware `datetime`."""
        return rows(self.arrow)

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        names: list[str] = self.arrow.column_names
        return names

    def __len__(self) -> int:
        """How many rows."""
        return int(self.arrow.num_rows)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Hand the table to another library without a copy."""
        return self.arrow.__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        """Say what it is; its rows may hold anything and are not shown."""
        return f"Result({len(self):,} rows as of version {self.version}: {', '.join(self.columns)})"
