"""Find symbol, price, size and time among the columns of a user's file; what only may be one of them is a question."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from finance_producer.reading.options import AmbiguousError, Options, UnreadableFileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

SYMBOL, PRICE, SIZE, TIME, NANOS = "symbol", "price", "size", "ts_event", "ts_event_nanos"
# `financelake export` writes the nanoseconds beyond its microseconds as `ts_event_nanos`.
COLUMNS = (SYMBOL, PRICE, SIZE, TIME, NANOS)
MAPPABLE = COLUMNS[:-1]
OHLC = ("open", "high", "low", "close")
JOIN = "+"
MAX_NAMED = 20
MAX_NAME_CHARS = 24

# Names in lower case, with `_` for everything but letters and digits. A column with such a name is this column.
ALIASES = {
    SYMBOL: {"symbol", "sym", "ticker", "ric", "ticker_symbol", "instrument_symbol", "raw_symbol"},
    PRICE: {"price", "px", "trade_price", "last_price", "trade_px", "tradeprice", "lastprice"},
    SIZE: {"size", "qty", "quantity", "volume", "vol", "shares", "trade_size", "trade_qty", "trade_volume", "last_size"},
    TIME: {"ts_event", "timestamp", "time", "datetime", "date_time", "date", "trade_time", "ts", "gmt_time", "tradetime"},
}
# A column with such a name may be this column: only the user knows.
LOOKS_LIKE = {
    SYMBOL: re.compile(r"symbols?|instrument(_id)?|security|isin|cusip|stock|pair|name|.*_symbol|.*_ticker|sym_.*|code"),
    PRICE: re.compile(r"prices?|close|last|p|adj(usted)?_?close|.*_(price|px)|price_.*|bid|ask|mid|vwap|value"),
    SIZE: re.compile(r"sizes?|sz|lots?|units|v|q|amount|.*_?(size|sz|qty|quantity|volume|vol)|volume_.*"),
    TIME: re.compile(r"t|epoch|when|ts_.*|.*time(stamp)?(_utc)?(_?(ns|us|ms|s))?|.*_ts|(.*_)?date(_.*)?|day|index|.*_time_.*"),
}
DATE_OR_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d.*)?|\d\d?[/.]\d\d?[/.]\d{4}( .*)?|\d{4}/\d\d/\d\d( .*)?")
DATE_ONLY = re.compile(r"\d{4}-\d\d-\d\d|\d{8}|\d\d?[/.-]\d\d?[/.-]\d{4}|\d{4}/\d\d/\d\d")
CLOCK_ONLY = re.compile(r"\d\d?:\d\d(:\d\d([.,]\d+)?)?( ?[AaPp][Mm])?")


class Column(NamedTuple):
    """A column of the file: its name, and an example value as text if there is one."""

    name: str
    example: str | None = None


class Columns(NamedTuple):
    """Where our columns are.

    Attributes:
        places: the places in the file of each of our columns: two if they are joined
        ohlc: the places of open, high, low and close, if a row is a bar
        unused: the names of unused columns

    """

    places: dict[str, tuple[int, ...]]
    ohlc: tuple[int, ...]
    unused: tuple[str, ...]

    @property
    def every(self) -> list[int]:
        """All places that are read."""
        return sorted({place for places in self.places.values() for place in places} | set(self.ohlc))


def choose(file: Path, present: Sequence[Column], options: Options) -> Columns:
    """Find our columns. Raises UnreadableFileError if one is missing or doubled, AmbiguousError if several may be one."""
    names = [column.name for column in present]
    _require_present(file, names, options)
    places = {ours: _mapped(file, names, ours, theirs, options) for ours, theirs in options.mapped.items()}
    ohlc = tuple(_mapped(file, names, "ohlc", theirs, options)[0] for theirs in options.ohlc)
    _require_consistent(file, present, options)
    taken = {place for of_one in places.values() for place in of_one} | set(ohlc)
    free = [place for place in range(len(names)) if place not in taken and names[place] not in options.ignored]
    if options.symbol:
        places[SYMBOL] = ()
    for ours in COLUMNS:
        if ours not in places and not (ours == PRICE and ohlc) and (own := [place for place in free if names[place] == ours]):
            if len(own) > 1:
                raise UnreadableFileError(f"{file} has the column {ours} twice.")
            places[ours] = (own[0],)
            free.remove(own[0])
    search = _Search(file, present, options, free)
    if PRICE not in places and not ohlc and (bars := search.bars()):
        raise search.is_bars(bars)
    for ours in (SYMBOL, PRICE, TIME, SIZE):
        if ours not in places and not (ours == PRICE and ohlc) and (found := search.find(ours)) is not None:
            places[ours] = (found,)
            free.remove(found)
    if missing := [ours for ours in (SYMBOL, PRICE) if ours not in places and not (ours == PRICE and ohlc)]:
        raise search.lacks(missing)
    used = {place for of_one in places.values() for place in of_one} | set(ohlc)
    return Columns(places, ohlc, tuple(name for place, name in enumerate(names) if place not in used))


def _require_present(file: Path, names: Sequence[str], options: Options) -> None:
    """Raise UnreadableFileError if two options exclude each other, or a column to ignore is not there."""
    for option, value, ours in (("ohlc", ",".join(options.ohlc), PRICE), ("symbol", options.symbol, SYMBOL)):
        if value and ours in options.mapped:
            pair = printable(options.spelled("mapped", f"{ours}={options.mapped[ours]}"))
            raise UnreadableFileError(f"{options.spelled(option)} and {pair} exclude each other: leave one of them out.")
    if absent := [name for name in options.ignored if name not in names]:
        raise UnreadableFileError(
            f"{file} has no such column: {printable(absent[0])} of"
            f" {printable(options.spelled('ignored', ','.join(options.ignored)))}; it has: {shown(names)}."
        )


def _require_consistent(file: Path, present: Sequence[Column], options: Options) -> None:
    """Raise UnreadableFileError if options contradict each other or the names of the columns."""
    asked = {part for theirs in (*options.mapped.values(), *options.ohlc) for part in (theirs, *theirs.split(JOIN))}
    if both := [name for name in options.ignored if name in asked]:
        ignored = printable(options.spelled("ignored", both[0]))
        raise UnreadableFileError(f"{ignored} leaves out a column that another option uses: leave one of them out.")
    plain = [plain_name(name) for name in options.ohlc]
    if sorted(plain) == sorted(OHLC) and tuple(plain) != OHLC:
        given, wanted = (options.spelled("ohlc", ",".join(names)) for names in (options.ohlc, _as_ohlc(options.ohlc)))
        raise UnreadableFileError(f"{printable(given)} is not in the order open,high,low,close: use {printable(wanted)}.")
    for name, example in present:
        is_symbol = plain_name(name) in ALIASES[SYMBOL] and name not in {*options.ignored, *asked}
        if options.symbol and is_symbol and example != options.symbol:
            raise UnreadableFileError(
                f"{file} has a column of symbols, {printable(name)}, and {printable(options.spelled('symbol', options.symbol))}"
                f" is for every row: leave one of them out, the column with {printable(options.spelled('ignored', name))}."
            )


def _as_ohlc(names: Sequence[str]) -> list[str]:
    """Return columns of these names in the order of OHLC."""
    return sorted(names, key=lambda name: OHLC.index(plain_name(name)))


def _mapped(file: Path, names: Sequence[str], ours: str, theirs: str, options: Options) -> tuple[int, ...]:
    parts = [theirs] if theirs in names else [part for part in theirs.split(JOIN) if part]
    what = options.spelled("ohlc", ",".join(options.ohlc)) if ours == "ohlc" else options.spelled("mapped", f"{ours}={theirs}")
    if len(parts) > 1 and ours in {PRICE, SIZE}:
        raise UnreadableFileError(
            f"{printable(what)} joins columns, which is for dates with times and for symbols: name one column; {file} has:"
            f" {shown(names)}."
        )
    if absent := [part for part in parts if part not in names]:
        raise UnreadableFileError(
            f"{file} has no such column: {printable(absent[0])} of {printable(what)}; it has: {shown(names)}."
        )
    if doubled := [part for part in parts if names.count(part) > 1]:
        raise UnreadableFileError(f"{file} has the column {printable(doubled[0])} twice.")
    return tuple(names.index(part) for part in parts)


class _Search:
    """A search among the columns that are not used yet."""

    def __init__(self, file: Path, present: Sequence[Column], options: Options, free: list[int]) -> None:
        self._file = file
        self._present = present
        self._options = options
        self._free = free

    def find(self, ours: str) -> int | None:
        """Return the column with a name for ours; None if there is none. Raises AmbiguousError if only the user knows."""
        sure = [place for place in self._free if plain_name(self._present[place].name) in ALIASES[ours]]
        if len(sure) == 1:
            return sure[0]
        if ours == TIME and (joined := self._date_and_clock(sure or self._like(TIME))):
            raise self._question(ours, [joined], "in two columns")
        if candidates := sure or self._like(ours):
            several = "several that may be it" if len(candidates) > 1 else "one that may be it"
            raise self._question(ours, [self._present[place].name for place in candidates], several)
        return None

    def bars(self) -> list[str]:
        """Return the names of the columns of open, high, low and close, if there are all four."""
        plain = {plain_name(self._present[place].name): self._present[place].name for place in self._free}
        return [plain[name] for name in OHLC] if all(name in plain for name in OHLC) else []

    def is_bars(self, bars: Sequence[str]) -> AmbiguousError:
        """Return the question what to do with a file of bars."""
        whole, close = ",".join(bars), f"{PRICE}={bars[-1]}"
        both = f"{self._options.spelled('ohlc', whole)} stores each row as four ticks"
        return AmbiguousError(
            f"{self._file} has bars, not ticks: {shown(bars)}. {both},"
            f" {self._options.spelled('mapped', close)} only its close.",
            "The file has bars. What becomes of a row?",
            {f"ohlc={whole}": "four ticks: open, high, low, close", f"mapped={close}": "one tick, its close"},
        )

    def lacks(self, missing: Sequence[str]) -> UnreadableFileError:
        """Return the error for columns that must be there."""
        names = [column.name for column in self._present]
        constant = f" Or {self._options.spelled('symbol', _symbol_in(self._file))} for every row." if SYMBOL in missing else ""
        pairs = ",".join(f"{ours}=ITS-NAME" for ours in missing)
        return UnreadableFileError(
            f"{self._file} has no column {' or '.join(missing)}; it has: {shown(names)}."
            f" Use {self._options.spelled('mapped', pairs)}.{constant}"
        )

    def _like(self, ours: str) -> list[int]:
        found = [place for place in self._free if LOOKS_LIKE[ours].fullmatch(plain_name(self._present[place].name))]
        if ours == TIME and not found:
            found = [place for place in self._free if DATE_OR_TIME.fullmatch(self._present[place].example or "")]
        return found

    def _date_and_clock(self, candidates: Sequence[int]) -> str:
        dates = [place for place in candidates if DATE_ONLY.fullmatch(self._present[place].example or "")]
        clocks = [place for place in self._free if CLOCK_ONLY.fullmatch(self._present[place].example or "")]
        if len(dates) != 1 or len(clocks) != 1:
            return ""
        return f"{self._present[dates[0]].name}{JOIN}{self._present[clocks[0]].name}"

    def _question(self, ours: str, theirs: Sequence[str], several: str) -> AmbiguousError:
        names = [column.name for column in self._present]
        first = self._options.spelled("mapped", f"{ours}={printable(theirs[0][:60])}")
        choices = {f"mapped={ours}={name}": f"the column {printable(name)}" for name in theirs}
        leave_out = ""
        if ours in {SIZE, TIME}:
            ignored = ",".join(name for name in theirs[0].split(JOIN)) if len(theirs) == 1 else ",".join(theirs)
            leave_out = f" Or leave it out with {self._options.spelled('ignored', printable(ignored))}."
            choices[f"ignored={ignored}"] = "none of them"
        return AmbiguousError(
            f"{self._file} has no column {ours}, but {several}: {shown(theirs)}. Use {first}.{leave_out}"
            f" It has: {shown(names)}.",
            f"Which column is the {ours}?",
            choices,
        )


def shown(names: Iterable[str]) -> str:
    """Return names for a message, at most `MAX_NAMED` of them, shortened and escaped for the terminal."""
    listed = list(names)
    first = ", ".join(ascii(name[:MAX_NAME_CHARS]) for name in listed[:MAX_NAMED])
    return (first or "none") + (f" and {len(listed) - MAX_NAMED:,} more" if len(listed) > MAX_NAMED else "")


def printable(name: str) -> str:
    """Return a name escaped for the terminal, without quotes."""
    return ascii(name)[1:-1]


def _symbol_in(file: Path) -> str:
    """Return what may be a symbol in a file's name, as a suggestion."""
    match = re.match(r"[A-Za-z0-9^]{1,12}", file.name)
    return match[0].upper() if match and not match[0].isdigit() else "AAPL"


def plain_name(name: str) -> str:
    """Return a name in lower case, with `_` for everything but letters and digits."""
    return re.sub(r"[\W_]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()).strip("_")


def by_role(columns: Columns, names: Sequence[str]) -> Mapping[str, str]:
    """Return the file's name of each of our columns, for display."""
    found = {ours: JOIN.join(names[place] for place in places) for ours, places in columns.places.items() if places}
    return found | {ours: names[place] for ours, place in zip(OHLC, columns.ohlc, strict=False)}
