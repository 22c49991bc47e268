"""Who wrote the ticks: rows and times of each source, and what its ledger says about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from finance_storage import ledger

if TYPE_CHECKING:
    from finance_lake.lake import Lake
    from finance_storage.ledger import Account


def sources(lake: Lake, topic: str) -> list[dict[str, Any]]:
    """Return the sources in the order of their arrival: rows in the table, range of event times, ledger and state.

    A source that has a ledger and no row comes last. Raises what reading the lake raises.
    """
    accounts = ledger.read_all(lake.paths.ledgers, topic).accounts
    rows = {row["source"]: row for row in lake.by_source()}
    for source in accounts:
        rows.setdefault(source, dict.fromkeys(("first", "last", "arrived")) | {"source": source, "rows": 0})
    return [_described(row, accounts.get(source)) for source, row in rows.items()]


def _described(row: dict[str, Any], account: Account | None) -> dict[str, Any]:
    return {
        **row,
        "file": str(account.header.get("file", "")) if account else "",
        "acknowledged": account.ticks if account else None,
        "state": state(row["rows"], account),
    }


def state(rows: int, account: Account | None) -> str:
    """Return in words whether the table has what the ledger says."""
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
