"""Check by its parse tree that an SQL statement only reads.

The text of a statement is not enough: a SELECT can contain a COPY (`WITH x AS (COPY ...) FROM x`), and `query('FROM json_exec'
|| 'ute_serialized_sql(...)')` builds a COPY at run time. DuckDB's own parser names each node of the tree, so the check is on
nodes: every query node must be one that reads, and every table function one that returns data. Nodes and functions added by a
later DuckDB are refused until they are listed here.
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
# Every query node has these fields, whatever its type.
QUERY_NODE_FIELDS = frozenset({"modifiers", "cte_map"})
# DuckDB allows expressions of 1,000 levels, and its JSON has up to five levels for each.
DEEPEST = 10_000
TABLE_FUNCTION = "TABLE_FUNCTION"
# Functions that return rows, and neither write nor run SQL passed as text.
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


class QueryRejectedError(Exception):
    """The query is not a single statement that only reads."""


def require_reading(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    """Check that the query is one SELECT that only reads. Raises QueryRejectedError; duckdb.ParserException for invalid SQL."""
    statements: Sequence[duckdb.Statement] = connection.extract_statements(query)
    if len(statements) != 1:
        raise QueryRejectedError(f"Exactly one SELECT statement is allowed, not {len(statements) or 'none'}.")
    if statements[0].type != duckdb.StatementType.SELECT:
        raise QueryRejectedError("Only SELECT is allowed: the lake is read-only here.")
    for node in _nodes(_tree(connection, query)):
        _require_reading_node(node)


def _tree(connection: duckdb.DuckDBPyConnection, query: str) -> Any:  # noqa: ANN401 (DuckDB's JSON)
    ((text,),) = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [query]).fetchall()
    sys.setrecursionlimit(DEEPEST)
    try:
        tree = msgspec.json.decode(text)
    except RecursionError:
        raise QueryRejectedError("The query is nested too deeply: use fewer levels.") from None
    if tree.get("error", True):
        raise QueryRejectedError(f"This SELECT is not allowed: {tree.get('error_message', 'DuckDB cannot describe it')}.")
    return tree["statements"]


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401
    """Yield every object of the tree, without recursion."""
    left = [tree]
    while left:
        node = left.pop()
        if isinstance(node, dict):
            yield node
            left += node.values()
        elif isinstance(node, list):
            left += node


def _require_reading_node(node: dict[str, Any]) -> None:
    kind = str(node.get("type", ""))
    if (kind.endswith(QUERY_NODE_SUFFIX) or node.keys() >= QUERY_NODE_FIELDS) and kind not in READING_NODES:
        statement = kind.partition("_")[0]
        raise QueryRejectedError(f"A SELECT that contains {statement} is not allowed: the lake is read-only here.")
    if kind == TABLE_FUNCTION and (name := _function(node)) not in TABLE_FUNCTIONS:
        raise QueryRejectedError(f"The table function {name!r} is not allowed: only the lake's data can be read with SELECT.")


def _function(node: dict[str, Any]) -> str:
    function = node.get("function")
    return str(function.get("function_name", "")).lower() if isinstance(function, dict) else ""
