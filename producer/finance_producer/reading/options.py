"""The options for reading a file, and the errors that name them: as options of `financelake import` or as REPLAY_* settings."""

from __future__ import annotations

from typing import Literal

import msgspec

from finance_contract import Reason

DateOrder = Literal["ymd", "dmy", "mdy"]
TimeUnit = Literal["s", "ms", "us", "ns"]

# The names of characters that `.env` or a shell cannot hold easily.
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "colon": ":", "space": " "}
# Options whose command-line name is not simply theirs with dashes.
SPELLED = {"mapped": "map", "ignored": "ignore", "date_order": "dates"}
SETTINGS = {"mapped": "MAP", "ignored": "IGNORE_COLUMNS", "date_order": "DATES"}
# What mends a file of which every row is left out for one reason.
MENDS: dict[str, str] = {
    Reason.PRICE_TYPE: "--decimal-mark comma or point says how prices are written, --map price=COLUMN which column has them",
    Reason.PRICE_DECIMALS: "--decimals says how many decimals mean something",
    Reason.PRICE_RANGE: "--price-scale says what prices are multiplied by, --map price=COLUMN which column has them",
    Reason.SIZE_TYPE: "--size-scale says what sizes are multiplied by, --map size=COLUMN which column has them",
    Reason.TS_EVENT_RANGE: "--time-unit auto finds the unit of times, --map ts_event=COLUMN says which column has them",
    Reason.TS_EVENT_TYPE: "--dates says how dates are written, --map ts_event=COLUMN which column has times",
    Reason.NOT_AN_OBJECT: "--delimiter says what separates cells; a cell that has this character in it must be in quotes",
    Reason.SYMBOL_INVALID: "--map symbol=COLUMN says which column has symbols, --symbol one for every row",
}


class Options(msgspec.Struct, frozen=True, omit_defaults=True):
    """How to read a file. An empty value means that it is detected, and that what cannot be detected is an error.

    Attributes:
        mapped: the file's names for our columns; `DATE+TIME` joins two columns; `1`, `2`, ... if no line names them
        ignored: columns that are not used although they look like a symbol, a size or a time
        symbol: the symbol of every row, for a file without a column for it
        ohlc: the columns of open, high, low and close; each row becomes four ticks
        delimiter, encoding, decimal_mark: how text is written; the mark is `.` or `,`
        date_order: the order of day, month and year
        time_unit: the unit of integer times; without one the size of the numbers decides
        time_zone: the zone of times that name none
        decimals: how many decimals of a price mean something; prices are rounded to them, half to even
        price_scale, size_scale: what a price or a size is multiplied by, such as 1e-9
        spelling: how messages spell an option: `--time-zone` (import) or `REPLAY_TIME_ZONE` (replay)

    """

    mapped: dict[str, str] = {}
    ignored: tuple[str, ...] = ()
    symbol: str = ""
    ohlc: tuple[str, ...] = ()
    delimiter: str = ""
    encoding: str = ""
    decimal_mark: str = ""
    date_order: DateOrder | None = None
    time_unit: TimeUnit | None = None
    time_zone: str = ""
    decimals: int | None = None
    price_scale: str = ""
    size_scale: str = ""
    spelling: Literal["option", "setting"] = "option"

    @property
    def is_replay(self) -> bool:
        """Whether REPLAY_* settings say how to read."""
        return self.spelling == "setting"

    def spelled(self, name: str, value: str = "") -> str:
        """Return what a user writes to set an option."""
        if self.is_replay:
            return f"REPLAY_{SETTINGS.get(name, name.upper())}={value}"
        return f"--{SPELLED.get(name, name).replace('_', '-')}" + (f" {quoted(value)}" if value else "")


def quoted(value: str) -> str:
    """Return a value as a shell needs it."""
    return value if value and all(character.isalnum() or character in "_./:@%+=,-" for character in value) else f"'{value}'"


class UnreadableFileError(Exception):
    """The file cannot be read with these options. The message is a sentence for the user."""


class AmbiguousError(UnreadableFileError):
    """Only the user can decide how to read the file: `question`, and the choices, as `option=value`, with their meaning."""

    def __init__(self, message: str, question: str, choices: dict[str, str]) -> None:
        """Store the question."""
        super().__init__(message)
        self.question = question
        self.choices = choices


def decided(options: Options, choice: str) -> Options:
    """Return the options with one more decision, `option=value`."""
    name, _, value = choice.partition("=")
    if name == "mapped":
        ours, _, theirs = value.partition("=")
        return msgspec.structs.replace(options, mapped={**options.mapped, ours: theirs})
    if name == "ignored":
        return msgspec.structs.replace(options, ignored=(*options.ignored, *value.split(",")))
    if name == "ohlc":
        return msgspec.structs.replace(options, ohlc=tuple(value.split(",")))
    return msgspec.structs.replace(options, **{name: int(value) if name == "decimals" else value})
