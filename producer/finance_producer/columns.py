"""Find symbol, price, size and time among the columns of a user's file; report every guess and every unused column."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

REQUIRED = ("symbol", "price")
# `financelake export` writes the nanoseconds beyond its microseconds as `ts_event_nanos`.
COLUMNS = (*REQUIRED, "size", "ts_event", "ts_event_nanos")
MAPPABLE = COLUMNS[:-1]
MAX_NAMED = 20
MAX_NAME_CHARS = 24

# Names that other sources use for these columns, in lower case, with `_` for everything but letters and digits.
LOOKS_LIKE = {
    "symbol": re.compile(r"symbols?|sym|ticker(_symbol)?|instrument(_id)?|security|isin|cusip|ric|stock|pair|name|.*_symbol"),
    "price": re.compile(r"prices?|px|close|last|p|adj(usted)?_?close|.*_(price|px)|price_.*"),
    "size": re.compile(r"sizes?|sz|qty|quantity|volume|vol|shares|lots?|units|v|q|.*_(size|sz|qty|quantity|volume)|.*volume"),
    "ts_event": re.compile(r"t|ts|epoch|when|ts_.*|.*time(stamp)?(_utc)?(_?(ns|us|ms|s))?|.*_ts|(.*_)?date(_.*)?|day"),
}
DATE_OR_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d.*)?|\d\d?[/.]\d\d?[/.]\d{4}( .*)?|\d{4}/\d\d/\d\d( .*)?")


class UnreadableFileError(Exception):
    """The file cannot be replayed. The message is a sentence for the user."""


class Column(NamedTuple):
    """A column of the file: its name, and an example value as text if there is one."""

    name: str
    example: str | None = None


class ColumnMapping(NamedTuple):
    """The settings for columns: the file's names for ours where they differ, and columns of the file to ignore."""

    mapped: Mapping[str, str] = {}
    ignored: frozenset[str] = frozenset()


class Columns(NamedTuple):
    """The position of each of our columns in the file, and the names of unused columns."""

    places: dict[str, int]
    unused: tuple[str, ...]

    @property
    def dated(self) -> bool:
        """Whether ticks have an event time."""
        return "ts_event" in self.places


def choose(file: Path, present: Sequence[Column], mapping: ColumnMapping) -> Columns:
    """Find our columns among the file's. Raises UnreadableFileError if one is missing, duplicate or has another name."""
    names = [column.name for column in present]
    sought = {ours: mapping.mapped.get(ours, ours) for ours in COLUMNS}
    if absent := [f"{ours}={theirs}" for ours, theirs in mapping.mapped.items() if theirs not in names]:
        raise UnreadableFileError(f"{file} has no such column: REPLAY_MAP={','.join(absent)}; it has: {shown(names)}.")
    if doubled := [theirs for theirs in sought.values() if names.count(theirs) > 1]:
        raise UnreadableFileError(f"{file} has the column {printable(doubled[0])} twice.")
    places = {ours: names.index(theirs) for ours, theirs in sought.items() if theirs in names}
    unused = [column for place, column in enumerate(present) if place not in places.values()]
    if missing := [ours for ours in REQUIRED if ours not in places]:
        hint = _hint({ours: _named_like(ours, unused) for ours in missing})
        raise UnreadableFileError(f"{file} has no column {' or '.join(missing)}; it has: {shown(names)}.{hint}")
    others = [column for column in unused if column.name not in mapping.ignored]
    similar = {ours: _named_like(ours, others) for ours in ("size", "ts_event") if ours not in places}
    if "ts_event" in similar:
        dates = [column.name for column in others if DATE_OR_TIME.fullmatch(column.example or "")]
        similar["ts_event"] = similar["ts_event"] or dates
    if similar := {ours: candidates for ours, candidates in similar.items() if candidates}:
        what = " and ".join(f"no column {ours}, but one that may be it, {shown(similar[ours])}" for ours in similar)
        ignored = printable(",".join(name for candidates in similar.values() for name in candidates))
        raise UnreadableFileError(
            f"{file} has {what}.{_hint(similar)} Or leave it out with REPLAY_IGNORE_COLUMNS={ignored}. It has: {shown(names)}."
        )
    return Columns(places, tuple(column.name for column in unused))


def shown(names: Iterable[str]) -> str:
    """Return names for a message, at most `MAX_NAMED` of them, shortened and escaped for the terminal."""
    listed = list(names)
    first = ", ".join(ascii(name[:MAX_NAME_CHARS]) for name in listed[:MAX_NAMED])
    return (first or "none") + (f" and {len(listed) - MAX_NAMED:,} more" if len(listed) > MAX_NAMED else "")


def printable(name: str) -> str:
    """Return a name escaped for the terminal, without quotes."""
    return ascii(name)[1:-1]


def _named_like(ours: str, columns: Iterable[Column]) -> list[str]:
    pattern = LOOKS_LIKE[ours]
    return [column.name for column in columns if pattern.fullmatch(re.sub(r"[\W_]+", "_", column.name.lower()).strip("_"))]


def _hint(similar: Mapping[str, Sequence[str]]) -> str:
    pairs = [f"{ours}={printable(candidates[0][:MAX_NAME_CHARS])}" for ours, candidates in similar.items() if candidates]
    return f" Use REPLAY_MAP={','.join(pairs)}." if pairs else ""
