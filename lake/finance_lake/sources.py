"""Who wrote the ticks: rows and times of each source, and what its ledger says about them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from finance_contract.retracted import RETRACTED
from finance_lake.query.selection import selection
from finance_lake.query.snapshot import open_snapshot
from finance_lake.query.values import rows as rows_of
from finance_storage import ledger
from finance_storage.delta_table import add_actions, open_table
from finance_storage.files import literal, parquet

if TYPE_CHECKING:
    from finance_lake.lake import Lake
    from finance_storage.ledger import Account
    from finance_storage.paths import LakePaths


def sources(lake: Lake, topic: str) -> list[dict[str, Any]]:
    """Return the sources in the order of their arrival: rows in the table, range of event times, ledger and state.

    A source that has no row comes last. Raises what reading the lake raises.
    """
    accounts = ledger.read_all(lake.paths.ledgers, topic).accounts
    forgotten = retracted(lake.paths)
    rows = {row["source"]: row for row in by_source(lake)}
    for source in (*accounts, *forgotten):
        rows.setdefault(source, dict.fromkeys(("first", "last", "arrived")) | {"source": source, "rows": 0})
    return [_described(row, accounts.get(source), forgotten.get(source, 0)) for source, row in rows.items()]


def by_source(lake: Lake) -> list[dict[str, Any]]:
    """Return rows, first and last event time and first arrival of each source, in the order of arrival.

    Ticks that name no source count as those of the source with an empty name.
    """
    ticks = open_snapshot(lake.paths).source(selection(()))
    query = f"""SELECT coalesce(source, '') AS source, count(*) AS rows, min(ts_event) AS first, max(ts_event) AS last,
        min(kafka_timestamp) AS arrived FROM {ticks} GROUP BY ALL ORDER BY arrived, source"""
    return rows_of(lake.engine.table(query))


def retracted(paths: LakePaths) -> dict[str, int]:
    """Return the number of retracted ticks by source. Reads only the files of the quarantine that may have some."""
    table = open_table(paths.quarantine)
    counts: Counter[str] = Counter()
    for file in add_actions(table).to_pylist() if table else []:
        if not str(file.get("min.reason") or RETRACTED) <= RETRACTED <= str(file.get("max.reason") or RETRACTED):
            continue
        with parquet(paths.quarantine, literal(file["path"]), file["size_bytes"]) as opened:
            rows = opened.read(columns=["reason", "detail"])
        details = rows.filter(pc.equal(rows.column("reason"), RETRACTED)).column("detail")
        sources = pc.replace_substring_regex(details, "^[0-9]* ", "")
        counts.update({entry["values"]: entry["counts"] for entry in pc.value_counts(sources).to_pylist()})
    return dict(counts)


def _described(row: dict[str, Any], account: Account | None, forgotten: int) -> dict[str, Any]:
    return {
        **row,
        "file": str(account.header.get("file", "")) if account else "",
        "acknowledged": account.ticks if account else None,
        "state": state(row["rows"], account, forgotten),
    }


def state(rows: int, account: Account | None, forgotten: int = 0) -> str:
    """Return in words whether the table has what the ledger says."""
    if forgotten:
        return f"{forgotten:,} retracted by `financelake forget`"
    if account is None:
        return "no ledger"
    if rows < account.ticks:
        return f"{account.ticks - rows:,} not in the table (yet)"
    ending = account.ending
    if ending is None:
        return "running, or ended without its last line"
    if "whole" in ending and not ending["whole"]:
        return "stopped before the end of its file"
    return "complete"
