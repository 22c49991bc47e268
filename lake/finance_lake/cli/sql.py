"""`financelake sql`: run one query, or open a shell."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from finance_lake.cli.app import AsJson, AsOf, Data, Tz, hint, lake_of, report_if_empty, say

if TYPE_CHECKING:
    from finance_lake.lake import Lake

DEFAULT_LIMIT = 100
WELCOME = "Views: ticks, bars_1m, latest, quarantine. End a query with ; and the shell with .quit or Ctrl-D."


def sql(
    query: Annotated[str | None, typer.Argument(help="One SELECT (default: from standard input, or a shell).")] = None,
    *,
    as_of: AsOf = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="Rows to show at most.")] = DEFAULT_LIMIT,
    seconds: Annotated[float, typer.Option(min=0.1, max=3600, help="Time limit of a query, in seconds.")] = 30,
    tz: Tz = None,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Query the views ticks, bars_1m, latest and quarantine with DuckDB's SQL. Read-only."""
    lake = lake_of(data)
    if query is None and sys.stdin is None:
        raise typer.BadParameter("standard input is closed: pass the query as an argument")
    if query is None and sys.stdin.isatty():
        report_if_empty(lake.paths, lake.count(as_of), as_of)
        shell(lake, as_of, limit, seconds, tz)
        return
    answer(lake, sys.stdin.read() if query is None else query, as_of, limit, seconds, tz, as_json=as_json)
    if not as_json:
        report_if_empty(lake.paths, lake.count(as_of), as_of)
        hint("`financelake sql` opens a shell; docs/COOKBOOK.md has example queries.")


def answer(  # noqa: PLR0917 (the options of the command)
    lake: Lake, query: str, as_of: str | None, limit: int, seconds: float, tz: str | None = None, *, as_json: bool = False
) -> None:
    """Print the rows of a query. Raises QueryError."""
    from finance_lake.cli.display import as_json as encoded
    from finance_lake.cli.display import print_rows
    from finance_lake.query.sql import Limits

    result = lake.sql(query, as_of, limits=Limits(seconds=seconds, rows=limit), cut=True)
    if as_json:
        print(encoded({"version": result.version, "cut": result.cut, "rows": result.rows()}))
        return
    print_rows(result.rows(), result.columns, tz)
    if result.cut:
        say(f"Showing the first {limit:,} rows: --limit shows more.")


def shell(lake: Lake, as_of: str | None, limit: int, seconds: float, tz: str | None = None) -> None:
    """Read and answer queries until .quit or Ctrl-D. Errors are printed; Ctrl-C clears the line or cancels the query."""
    import readline  # noqa: F401 (adds history to input())

    from finance_storage.errors import LakeError

    print(WELCOME)
    while True:
        try:
            query = _read_query()
        except KeyboardInterrupt:
            print()
            continue
        if query is None:
            return
        try:
            if query:
                answer(lake, query, as_of, limit, seconds, tz)
        except LakeError as error:
            say(str(error))
        except KeyboardInterrupt:
            print()
            say("The query was cancelled.")


def _read_query() -> str | None:
    """Read a query up to its semicolon; None at the end of input."""
    lines: list[str] = []
    while not lines or not lines[-1].rstrip().endswith(";"):
        try:
            lines.append(input("   ...> " if lines else "lake> "))
        except EOFError:
            print()
            return None
        if lines[0].strip() in {".quit", ".exit", "exit", "quit"}:
            return None
        if not "".join(lines).strip():
            return ""
    return "\n".join(lines)
