"""SQL intervals become durations if they have a length, else text, which Polars and pandas accept."""

from __future__ import annotations

from datetime import timedelta

import duckdb
import pyarrow as pa
import pytest

from finance_lake.query.intervals import without_intervals

DAY = timedelta(days=1)


def answer(query: str) -> pa.Table:
    with duckdb.connect(":memory:") as connection:
        return without_intervals(connection.sql(query).to_arrow_table())


@pytest.mark.parametrize(
    ("interval", "length"),
    [
        ("INTERVAL 90 SECOND", timedelta(seconds=90)),
        ("INTERVAL 2 DAY - INTERVAL 1 MICROSECOND", 2 * DAY - timedelta(microseconds=1)),
        ("-INTERVAL 1 MICROSECOND", -timedelta(microseconds=1)),
        ("NULL::INTERVAL", None),
    ],
)
def test_an_interval_becomes_a_duration(interval: str, length: timedelta | None) -> None:
    rows = answer(f"SELECT {interval} AS waited, 1 AS other")
    assert rows.schema.field("waited").type == pa.duration("us")
    assert rows.to_pylist() == [{"waited": length, "other": 1}]


def test_an_empty_column_becomes_a_duration_too() -> None:
    assert answer("SELECT INTERVAL 1 DAY AS waited WHERE false").schema.field("waited").type == pa.duration("us")


@pytest.mark.parametrize("interval", ["INTERVAL 1 MONTH", "INTERVAL 2000000000 DAY"])
def test_an_interval_without_a_length_becomes_text(interval: str) -> None:
    rows = answer(f"SELECT {interval} AS waited UNION ALL SELECT NULL")
    assert rows.schema.field("waited").type == pa.string()
    assert None in rows.column("waited").to_pylist()


def test_a_slice_has_only_its_own_rows() -> None:
    with duckdb.connect(":memory:") as connection:
        rows = connection.sql("SELECT to_days(i::INT) AS waited FROM range(5) t(i)").to_arrow_table()
    assert without_intervals(rows.slice(3)).column("waited").to_pylist() == [3 * DAY, 4 * DAY]
