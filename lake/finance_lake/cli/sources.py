"""`financelake sources`: who wrote the ticks."""

from __future__ import annotations

from finance_lake.cli.app import AsJson, Data, Tz, hint, lake_of, report_if_empty


def sources(*, tz: Tz = None, as_json: AsJson = False, data: Data = None) -> None:
    """List the sources of ticks: each run of a producer and each imported file, with its rows, times, ledger and state."""
    from finance_lake.cli.display import as_json as encoded
    from finance_lake.cli.display import print_rows
    from finance_lake.config import Settings
    from finance_lake.sources import sources as listed
    from finance_role.settings import settings_or_exit

    lake = lake_of(data)
    rows = listed(lake, settings_or_exit(Settings).kafka_topic)
    if as_json:
        print(encoded(rows))
        return
    if report_if_empty(lake.paths, lake.count()):
        return
    print_rows(rows, ["source", "file", "rows", "first", "last", "arrived", "acknowledged", "state"], tz)
    hint("`financelake import FILE` adds a file of yours.")
