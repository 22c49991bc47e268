"""Which columns of a user's file are symbol, price, size and time; nothing is left out, and nothing made up, without a word."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

REQUIRED = ("symbol", "price")
# `ts_event_nanos` is how `financelake export` writes what its microseconds leave over.
COLUMNS = (*REQUIRED, "size", "ts_event", "ts_event_nanos")
MAPPABLE = COLUMNS[:-1]
MAX_NAMED = 20
MAX_NAME_CHARS = 24

# Names under which others have them, in lower case, `_` for all that is no letter or digit.
LOOKS_LIKE = {
    "symbol": re.compile(r"symbols?|sym|ticker(_symbol)?|instrument(_id)?|security|isin|cusip|ric|stock|pair|name|.*_symbol"),
    "price": re.compile(r"prices?|px|close|last|p|adj(usted)?_?close|.*_(price|px)|price_.*"),
    "size": re.compile(r"sizes?|sz|qty|quantity|volume|vol|shares|lots?|units|v|q|.*_(size|sz|qty|quantity|volume)|.*volume"),
    "ts_event": re.compile(r"t|ts|epoch|when|ts_.*|.*time(stamp)?(_utc)?(_?(ns|us|ms|s))?|.*_ts|(.*_)?date(_.*)?|day"),
}
DATE_OR_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d.*)?|\d\d?[/.]\d\d?[/.]\d{4}( .*)?|\d{4}/\d\d/\d\d( .*)?")


class UnreadableFileError(Exception):
    """The file cannot be replayed; says so in a sentence."""


class Column(NamedTuple):
    """A column of the file: its name, and a value of it as text if there is one."""

    name: str
    example: str | None = None


class Wanted(NamedTuple):
    """What the settings say of columns: the file's name for each of ours that is called otherwise, and what may be left out."""

    mapped: Mapping[str, str] = {}
    ignored: frozenset[str] = frozenset()


class Columns(NamedTuple):
    """Which column of the file is which of ours, and those that are none."""

    places: dict[str, int]
    unused: tuple[str, ...]

    @property
    def dated(self) -> bool:
        """Whether ticks have a time of their own."""
        return "ts_event" in self.places


def choose(file: Path, present: Sequence[Column], wanted: Wanted) -> Columns:
    """Find our columns in the file's. Raises UnreadableFileError where one is missing, twice there, or under another name."""
    names = [column.name for column in present]
    taken = {ours: wanted.mapped.get(ours, ours) for ours in COLUMNS}
    if absent := [f"{ours}={theirs}" for ours, theirs in wanted.mapped.items() if theirs not in names]:
        raise UnreadableFileError(f"{file} has no column as REPLAY_MAP={','.join(absent)} says; it has: {shown(names)}.")
    if doubled := [theirs for theirs in taken.values() if names.count(theirs) > 1]:
        raise UnreadableFileError(f"{file} has the column {printable(doubled[0])} twice.")
    places = {ours: names.index(theirs) for ours, theirs in taken.items() if theirs in names}
    unused = [column for place, column in enumerate(present) if place not in places.values()]
    if missing := [ours for ours in REQUIRED if ours not in places]:
        hint = _hint({ours: _named_like(ours, unused) for ours in missing})
        raise UnreadableFileError(f"{file} has no column {' or '.join(missing)}; it has: {shown(names)}.{hint}")
    open_to = [column for column in unused if column.name not in wanted.ignored]
    found = {ours: _named_like(ours, open_to) for ours in ("size", "ts_event") if ours not in places}
    if "ts_event" in found:
        found["ts_event"] = found["ts_event"] or [one.name for one in open_to if DATE_OR_TIME.fullmatch(one.example or "")]
    if found := {ours: candidates for ours, candidates in found.items() if candidates}:
        what = " and ".join(f"no column {ours}, but one that may be it, {shown(found[ours])}" for ours in found)
        left = ",".join(name for candidates in found.values() for name in candidates)
        raise UnreadableFileError(
            f"{file} has {what}.{_hint(found)} REPLAY_IGNORE_COLUMNS={printable(left)} leaves it out. It has: {shown(names)}."
        )
    return Columns(places, tuple(column.name for column in unused))


def shown(names: Iterable[str]) -> str:
    """Give names for a sentence: as many as one takes, harmless to a terminal."""
    listed = list(names)
    some = ", ".join(ascii(name[:MAX_NAME_CHARS]) for name in listed[:MAX_NAMED])
    return (some or "none") + (f" and {len(listed) - MAX_NAMED:,} more" if len(listed) > MAX_NAMED else "")


def printable(name: str) -> str:
    """Give a name without its quotes, harmless to a terminal."""
    return ascii(name)[1:-1]


def _named_like(ours: str, columns: Iterable[Column]) -> list[str]:
    return [one.name for one in columns if LOOKS_LIKE[ours].fullmatch(re.sub(r"[\W_]+", "_", one.name.lower()).strip("_"))]


def _hint(found: Mapping[str, Sequence[str]]) -> str:
    pairs = [f"{ours}={printable(candidates[0][:MAX_NAME_CHARS])}" for ours, candidates in found.items() if candidates]
    return f" REPLAY_MAP={','.join(pairs)} says which is which." if pairs else ""
