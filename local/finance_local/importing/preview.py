"""Show how a file would be stored: what was detected, the first ticks, and what would be left out."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from finance_producer.reading.convert import Converted
    from finance_producer.reading.frames import Described

FIRST = 5
NAMED = 12
SECOND_NS = 10**9


class Scan:
    """What the rows of a file are, as far as it has been read.

    Attributes:
        rows, ticks: number of rows that become ticks, and of their ticks
        first: the first ticks
        left_out: number of rows left out, by reason code
        examples: the first row left out for each reason
        symbols: number of ticks by symbol
        is_whole: whether the whole file was read

    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.rows = self.ticks = 0
        self.first: list[dict[str, Any]] = []
        self.left_out: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.symbols: Counter[str] = Counter()
        self.times: tuple[int, int] | None = None
        self.is_whole = False

    def add(self, block: Converted) -> None:
        """Include a block."""
        self.rows += block.rows
        self.ticks += len(block.ticks)
        self.first += block.ticks.slice(0, FIRST - len(self.first)).to_pylist()
        for line, reason in block.left_out:
            code, _, detail = reason.partition(": ")
            self.left_out[code] += 1
            self.examples.setdefault(code, f"line {line:,}: {detail}")
        symbol = block.ticks.column("symbol")
        for entry in pc.value_counts(symbol.dictionary.take(symbol.indices)).to_pylist():
            self.symbols[entry["values"]] += entry["counts"]
        between = pc.min_max(block.ticks.column("ts_event")).as_py()
        if between["min"] is not None:
            low, high = self.times or (between["min"], between["max"])
            self.times = min(low, between["min"]), max(high, between["max"])


def scan(blocks: Iterator[Converted], *, whole: bool) -> Scan:
    """Read a file: as a whole, or its first block. Raises UnreadableFileError."""
    seen = Scan()
    for block in blocks:
        seen.add(block)
        if not whole and seen.ticks:
            return seen
    seen.is_whole = True
    return seen


def lines(name: str, described: Described, seen: Scan) -> dict[str, str]:
    """Return what to show about a file, by heading."""
    parts = [described.kind, described.encoding, f"cells separated by {described.delimiter}" if described.delimiter else ""]
    parts += [f"compressed with {described.compression}" if described.compression != "none" else ""]
    roles = [f"{ours}={theirs}" for ours, theirs in described.roles.items()]
    roles += [f"symbol is {described.symbol} in every row"] if described.symbol else []
    count = f"{seen.rows:,} rows give {seen.ticks:,} ticks" + ("" if seen.is_whole else ", in the part that was read")
    shown = {
        "file": f"{name}: {', '.join(filter(None, parts))}",
        "columns": ", ".join(roles),
        "prices": described.price,
        "sizes": described.size or "none: no column size",
        "times": described.time or "none: the lake dates these ticks by when they arrive",
        "unused": _first(described.unused) or "no column",
        "rows": count,
    }
    if seen.times:
        shown["from"], shown["to"] = (time_text(edge) for edge in seen.times)
    shown["symbols"] = _first([symbol for symbol, _ in seen.symbols.most_common()])
    for code, number in seen.left_out.most_common():
        shown[f"left out: {code}"] = f"{number:,} rows, first {seen.examples[code]}"
    return shown


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED:,} more" if len(names) > NAMED else "")


def time_text(time_ns: int) -> str:
    """Return a time in UTC with its nanoseconds."""
    seconds, rest = divmod(time_ns, SECOND_NS)
    fraction = f".{rest:09}".rstrip("0") if rest else ""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}{fraction} UTC"


def tick_rows(seen: Scan) -> list[dict[str, str]]:
    """Return the first ticks as they would be stored, for a table."""
    return [
        {
            "symbol": tick["symbol"],
            "price": tick["price"],
            "size": tick["size"] or "",
            "ts_event": "" if tick["ts_event"] is None else time_text(tick["ts_event"]),
        }
        for tick in seen.first
    ]
