"""`financelake show` (`make show`): the newest rows, and how many there are."""

from __future__ import annotations

from finance_lake.cli.app import AsJson, Data, Tz, hint, paths_of, report_if_empty

NEWEST = 10


def show(*, tz: Tz = None, as_json: AsJson = False, data: Data = None) -> None:
    """Show the rows that arrived last, and the number of rows."""
    from finance_lake.cli.display import as_json as encoded
    from finance_lake.cli.display import print_rows
    from finance_lake.query.newest import newest_rows
    from finance_lake.query.snapshot import open_snapshot
    from finance_role.text import plain

    paths = paths_of(data)
    snapshot = open_snapshot(paths)
    rows = newest_rows(snapshot, NEWEST)
    if as_json:
        print(encoded({"version": snapshot.version, "ticks": snapshot.rows, "quarantined": snapshot.quarantined, "rows": rows}))
        return
    shown = [{**row, "place": f"{row['kafka_partition']}:{row['kafka_offset']}"} for row in rows]
    print_rows(shown, ["symbol", "price", "size", "ts_event", "kafka_timestamp", "place"], tz)
    print(f"{snapshot.rows:,} rows, {snapshot.quarantined:,} quarantined, version {snapshot.version} at {plain(paths.ticks)}")
    report_if_empty(paths, snapshot.rows)
    hint("`financelake status` shows what is running, `financelake tail` shows each tick.")
