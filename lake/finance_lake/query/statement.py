"""Judge an SQL statement by its parse tree: it may read, and nothing else.

The words of a statement tell little: a SELECT can hold a COPY (`WITH x AS (COPY ...) FROM x`), and `query('FROM json_exec' ||
'ute_serialized_sql(...)')` puts a COPY together while it runs. DuckDB's own parser names each node of the tree, so the rule is
about nodes: every query node must be one that reads, and every table function one that returns data. A node or a function that
a later DuckDB adds is refused until it is listed here.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import duckdb
import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

READING_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
QUERY_NODE_SUFFIX = "_NODE"
# Every query node has these fields, whatever its type is called.
QUERY_NODE_FIELDS = frozenset({"modifiers", "cte_map"})
# DuckDB takes expressions of 1,000 levels, and its JSON has up to five levels for each.
DEEPEST = 10_000
TABLE_FUNCTION = "TABLE_FUNCTION"
# What gives rows and neither writes nor runs SQL that it is given as text.
TABLE_FUNCTIONS = frozenset(
    {
        *("generate_series", "range", "repeat", "repeat_row", "unnest", "summary", "histogram", "histogram_values"),
        *("json_each", "json_tree", "test_all_types", "icu_calendar_names", "pg_timezone_names"),
        *("read_parquet", "parquet_scan", "parquet_metadata", "parquet_schema", "parquet_file_metadata"),
        *("parquet_full_metadata", "parquet_kv_metadata", "parquet_bloom_probe"),
        *("duckdb_columns", "duckdb_functions", "duckdb_keywords", "duckdb_schemas", "duckdb_settings", "duckdb_tables"),
        *("duckdb_types", "duckdb_views", "pragma_show", "pragma_table_info", "pragma_version"),
    }
)


class StatementError(Exception):
    """Not one statement that reads."""


def require_reading(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    """Pass one SELECT that only reads. Raises StatementError, and duckdb.ParserException for what is no SQL."""
    statements: Sequence[duckdb.Statement] = connection.extract_statements(query)
    if len(statements) != 1:
        raise StatementError(f"One SELECT statement is taken, not {len(statements) or 'none'}.")
    if statements[0].type != duckdb.StatementType.SELECT:
        raise StatementError("Only SELECT is taken: the lake is read here, never written.")
    for node in _nodes(_tree(connection, query)):
        _require_reading_node(node)


def _tree(connection: duckdb.DuckDBPyConnection, query: str) -> Any:  # noqa: ANN401 (DuckDB's JSON)
    ((text,),) = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [query]).fetchall()
    sys.setrecursionlimit(DEEPEST)
    try:
        tree = msgspec.json.decode(text)
    except RecursionError:
        raise StatementError("The query is nested too deeply: a SELECT of fewer levels is taken.") from None
    if tree.get("error", True):
        raise StatementError(f"This SELECT is not taken: {tree.get('error_message', 'DuckDB cannot describe it')}.")
    return tree["statements"]


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401
    """Give every object of the tree, without recursion."""
    left = [tree]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            yield one
            left += one.values()
        elif isinstance(one, list):
            left += one


def _require_reading_node(node: dict[str, Any]) -> None:
    kind = str(node.get("type", ""))
    if (kind.endswith(QUERY_NODE_SUFFIX) or node.keys() >= QUERY_NODE_FIELDS) and kind not in READING_NODES:
        what = kind.partition("_")[0]
        raise StatementError(f"A SELECT that holds {what} is not taken: the lake is read here, never written.")
    if kind == TABLE_FUNCTION and (name := _function(node)) not in TABLE_FUNCTIONS:
        raise StatementError(f"The table function {name!r} is not taken: only SELECT over the lake's own data is.")


def _function(node: dict[str, Any]) -> str:
    called = node.get("function")
    return str(called.get("function_name", "")).lower() if isinstance(called, dict) else ""
