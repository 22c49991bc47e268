"""The quarantine on the page: records by reason, over time, and the newest ones with keys and values escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from finance_lake.query.relations import source
from finance_storage.paths import QUARANTINE

if TYPE_CHECKING:
    from finance_lake.query.engine import Engine
    from finance_lake.query.snapshot import Snapshot

MAX_VALUE_LENGTH = 300
# Bars of the timeline at most; each is one of these many seconds wide.
MAX_BARS = 60
WIDTHS = (1, 10, 60, 300, 900, 3600, 6 * 3600, 86_400, 7 * 86_400, 30 * 86_400)
ARRIVED = "coalesce(kafka_timestamp, ingested_at)"


def summary(engine: Engine, snapshot: Snapshot) -> dict[str, Any]:
    """Return `counts` by reason, most first, and `timeline`: `width` in seconds, and [begin, reason, records] for each bar."""
    # Reads only some columns: the values of a large quarantine would not fit into memory.
    files = source(QUARANTINE, [file.path for file in snapshot.quarantine])
    seconds = engine.table(f"""
        SELECT epoch({ARRIVED})::BIGINT AS second, reason, count(*) AS records
        FROM {files} GROUP BY ALL ORDER BY second, reason""")  # noqa: S608 (quoted)
    rows = list(zip(*(column.to_pylist() for column in seconds.columns), strict=True))
    counts: dict[str, int] = {}
    for _, reason, records in rows:
        counts[reason] = counts.get(reason, 0) + records
    return {
        "counts": dict(sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))),
        "timeline": _timeline([row for row in rows if row[0] is not None]),
    }


def shortened(row: dict[str, Any]) -> dict[str, Any]:
    """Cut the long texts of a record."""
    for name in ("key", "value", "detail"):
        text = row[name]
        row[name] = text if text is None or len(text) <= MAX_VALUE_LENGTH else f"{text[:MAX_VALUE_LENGTH]} ..."
    return row


def _timeline(rows: list[tuple[int, str, int]]) -> dict[str, Any]:
    span = rows[-1][0] - rows[0][0] if rows else 0
    width = next((width for width in WIDTHS if span / width < MAX_BARS), WIDTHS[-1])
    bars: dict[tuple[int, str], int] = {}
    for second, reason, records in rows:
        key = second // width * width, reason
        bars[key] = bars.get(key, 0) + records
    return {"width": width, "bars": [[begin, reason, records] for (begin, reason), records in sorted(bars.items())]}
