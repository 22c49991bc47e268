"""Which statements are allowed, by their parse tree. No statement is run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finance_lake.query.selection import quoted
from finance_lake.query.statement import TABLE_FUNCTIONS, QueryRejectedError, require_reading

if TYPE_CHECKING:
    from collections.abc import Iterator

COPY = "COPY (SELECT 1) TO 'file' (FORMAT csv)"
WRITING = [
    f"WITH x AS ({COPY}) FROM x",
    f"WITH x AS MATERIALIZED ({COPY}) SELECT 1",
    "WITH x AS (INSERT INTO t VALUES (1) RETURNING *) FROM x",
    "WITH x AS (UPDATE t SET a = 1 RETURNING *) FROM x",
    "WITH x AS (DELETE FROM t RETURNING *) FROM x",
    f"FROM json_execute_serialized_sql(json_serialize_sql({quoted(COPY)}))",
    "FROM query('FROM json_exec' || 'ute_serialized_sql(1)')",
    "FROM \"QuErY\"('SELECT 1')",
    "FROM system.main.query('SELECT 1')",
    "FROM query_table('file')",
    "FROM /* a comment */ query /**/ ('SELECT 1')",
    "FROM checkpoint()",
    "FROM enable_logging()",
    "FROM read_duckdb('file')",
    "FROM read_csv('file')",
    "FROM glob('*')",
]
READING = [
    "FROM ticks",
    "VALUES (1), (2)",
    "TABLE ticks",
    "DESCRIBE ticks",
    "SUMMARIZE ticks",
    "SHOW TABLES",
    "SELECT 'COPY x TO y', copy AS json_execute_serialized_sql FROM ticks AS copy -- INSERT",
    "FROM range(3) UNION ALL FROM generate_series(1, 3)",
    "FROM histogram(ticks, price)",
    "SELECT unnest([1, 2]), list_transform([1], lambda x: x + 1)",
    "FROM ticks ASOF JOIN bars_1m ON ticks.ts_event >= bars_1m.ts",
    "FROM (PIVOT ticks ON symbol IN ('AAPL') USING sum(price))",
    "UNPIVOT ticks ON price, size INTO NAME n VALUE v",
    "FROM information_schema.columns",
    "SELECT " + "+".join(["1"] * 990),
    "SELECT " + "(" * 150 + "1" + ")" * 150,
]
# Where a query can stand within another.
PLACES = [
    "SELECT * FROM ({})",
    "SELECT (SELECT count(*) FROM ({}))",
    "SELECT 1 WHERE EXISTS ({})",
    "SELECT 1 WHERE 1 IN (SELECT 1 FROM ({}))",
    "WITH y AS ({}) FROM y",
    "WITH RECURSIVE y(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM y, ({}) AS z WHERE n < 3) FROM y",
    "SELECT 1 UNION ALL SELECT count(*) FROM ({})",
    "FROM ticks, LATERAL (SELECT * FROM ({}))",
    "FROM ticks JOIN ({}) AS z ON true",
    "SELECT CASE WHEN true THEN ARRAY({}) END",
    "SELECT max(price) FILTER (1 IN (SELECT 1 FROM ({}))) FROM ticks ORDER BY (SELECT count(*) FROM ({}))",
    "FROM (PIVOT ({}) ON symbol IN ('AAPL') USING count(*))",
    "SUMMARIZE {}",
]


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as opened:
        yield opened


@pytest.mark.parametrize("query", READING, ids=lambda query: query[:60])
def test_statements_that_read_are_allowed(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    require_reading(connection, query)


@pytest.mark.parametrize("query", WRITING, ids=lambda query: query[:60])
def test_statements_that_write_or_run_text_are_refused(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    with pytest.raises(QueryRejectedError, match="SELECT"):
        require_reading(connection, query)


def nested(queries: list[str]) -> st.SearchStrategy[str]:
    """Nest a query in others, up to three levels deep."""
    places = st.lists(st.sampled_from(PLACES), min_size=1, max_size=3)
    return st.builds(put, st.sampled_from(queries), places)


def put(query: str, places: list[str]) -> str:
    for place in places:
        query = place.replace("{}", query)
    return query


@given(query=nested(WRITING))
@settings(max_examples=200, deadline=None)
def test_nested_statements_that_write_are_refused(query: str) -> None:
    with duckdb.connect(":memory:") as connection, pytest.raises((QueryRejectedError, duckdb.ParserException)):
        require_reading(connection, query)


@given(query=nested(["SELECT 1 AS symbol", "FROM range(3)", "FROM ticks", "SELECT 'COPY'"]))
@settings(max_examples=200, deadline=None)
def test_nested_statements_that_read_are_allowed(query: str) -> None:
    with duckdb.connect(":memory:") as connection:
        require_reading(connection, query)


def test_names_in_a_query_are_not_mistaken_for_nodes(connection: duckdb.DuckDBPyConnection) -> None:
    require_reading(connection, "SELECT 'COPY_QUERY_NODE' AS \"type\", {'type': 'COPY_QUERY_NODE', 'cte_map': 1} AS x")


def test_every_allowed_table_function_exists_in_duckdb(connection: duckdb.DuckDBPyConnection) -> None:
    rows = connection.sql("SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type LIKE 'table%'").fetchall()
    assert {name for (name,) in rows} >= TABLE_FUNCTIONS
