"""Parse the options for reading a file, as a user writes them in a command or in REPLAY_* settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast, get_args

from finance_producer.reading.columns import MAPPABLE, OHLC
from finance_producer.reading.options import DELIMITERS, DateOrder, Options, TimeUnit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

MARKS = {"point": ".", "comma": ",", ".": ".", ",": ",", "": ""}


def parsed_mapping(text: str) -> dict[str, str]:
    """Parse `ours=theirs,...`. Raises ValueError with all problems in one message."""
    split = [[part.strip() for part in pair.split("=", 1)] for pair in text.split(",") if pair.strip()]
    ours = [pair[0] for pair in split]
    problems = [f"{'='.join(pair)!r} is not ours=theirs" for pair in split if len(pair) < 2 or not all(pair)]  # noqa: PLR2004
    problems += [f"{name!r} is not one of {', '.join(MAPPABLE)}" for name in ours if name not in MAPPABLE]
    problems += [f"{name!r} is listed twice" for name in doubled(ours)]
    problems += [f"the column {name!r} cannot be two of ours" for name in doubled(pair[-1] for pair in split)]
    if problems:
        raise ValueError(", ".join(problems))
    return dict(split)


def parsed_names(text: str) -> tuple[str, ...]:
    """Parse a list of columns, separated by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def parsed_ohlc(text: str) -> tuple[str, ...]:
    """Parse the columns of open, high, low and close. Raises ValueError."""
    names = parsed_names(text)
    if names and len(names) != len(OHLC):
        raise ValueError(f"{text!r} is not four columns: open,high,low,close")
    if doubled(names):
        raise ValueError(f"{doubled(names)[0]!r} is listed twice")
    return names


def parsed_mark(text: str) -> str:
    """Parse a decimal mark. Raises ValueError."""
    if text not in MARKS:
        raise ValueError(f"{text!r} is not point or comma")
    return MARKS[text]


def parsed_delimiter(text: str) -> str:
    """Parse a delimiter: its name or the character. Raises ValueError."""
    delimiter = DELIMITERS.get(text, text)
    if len(delimiter) > 1 or delimiter in {'"', "\r", "\n"}:
        raise ValueError(f"{text!r} is not one character, nor one of {', '.join(DELIMITERS)}")
    return delimiter


def options_of(chosen: Mapping[str, Any]) -> Options:
    """Return options from what a user writes in a command. Raises ValueError."""
    unit, order = chosen["time_unit"] or "auto", chosen["date_order"]
    if unit not in {"auto", *get_args(TimeUnit)}:
        raise ValueError(f"--time-unit {unit!r} is not auto, {', '.join(get_args(TimeUnit))}")
    if order and order not in get_args(DateOrder):
        raise ValueError(f"--dates {order!r} is not {', '.join(get_args(DateOrder))}")
    return Options(
        mapped=_of("--map", parsed_mapping, chosen["mapped"]),
        ignored=parsed_names(chosen["ignored"]),
        symbol=chosen["symbol"],
        ohlc=_of("--ohlc", parsed_ohlc, chosen["ohlc"]),
        delimiter=_of("--delimiter", parsed_delimiter, chosen["delimiter"]),
        encoding=chosen["encoding"],
        decimal_mark=_of("--decimal-mark", parsed_mark, chosen["decimal_mark"]),
        date_order=order or None,
        time_unit=None if unit == "auto" else cast("TimeUnit", unit),
        time_zone=chosen["time_zone"],
        decimals=chosen["decimals"],
        price_scale=chosen["price_scale"],
        size_scale=chosen["size_scale"],
    )


def _of(option: str, parse: Callable[[str], Any], text: str) -> Any:  # noqa: ANN401 (what `parse` returns)
    """Parse the text of an option. Raises ValueError that names it."""
    try:
        return parse(text)
    except ValueError as error:
        raise ValueError(f"{option}: {error}") from None


def doubled(names: Iterable[str]) -> list[str]:
    """Return names that occur more than once, in order."""
    listed = list(names)
    return [name for name in sorted(set(listed)) if listed.count(name) > 1]
