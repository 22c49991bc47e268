"""Find out how prices, sizes and times are written, from the first values of a file; what fits two ways is a question."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from finance_contract.tick import EVENT_TIMES_NS, PRICE_LIMIT
from finance_producer.reading.columns import printable
from finance_producer.reading.options import AmbiguousError, Options, UnreadableFileError
from finance_producer.reading.prices import NumberFormat, unmarked
from finance_producer.reading.times import INTEGER, NANOSECONDS, NUMBER, TIME, TimeFormat, is_compact_date, zone_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from finance_producer.reading.options import DateOrder, TimeUnit

MARKS = {".": "a point", ",": "a comma"}
THOUSANDS = re.compile(r"-?\d{1,3}(?:,\d{3})+")
POINTS_AS_THOUSANDS = re.compile(r"-?\d{1,3}(?:\.\d{3}){2,}")
NAMED_UTC = re.compile(r"(?:^|_)(?:utc|gmt)(?:_|$)")
MAX_DECIMALS = 8
ORDERS: dict[DateOrder, str] = {"dmy": "day, month, year", "mdy": "month, day, year"}


def number_format(file: Path, ours: str, samples: Sequence[str], scale: str, options: Options) -> NumberFormat:
    """Return how the numbers of a column are written. Raises AmbiguousError, UnreadableFileError."""
    mark = options.decimal_mark or _mark(file, ours, samples, options)
    if mark not in MARKS:
        raise UnreadableFileError(f"{options.spelled('decimal_mark', mark)}: the decimal mark is a point or a comma.")
    other = "," if mark == "." else "."
    wrong = next((text for text in samples if unmarked(text, mark) is None and unmarked(text, other) is not None), None)
    if options.decimal_mark and wrong is not None:
        named = {mark: options.spelled("decimal_mark", word) for mark, word in ((".", "point"), (",", "comma"))}
        raise UnreadableFileError(
            f"{file} has {ours} {printable(wrong)}, which is no number with {named[mark]}: use {named[other]}."
        )
    return NumberFormat(mark, _scale(ours, scale, options), options.decimals if ours == "price" else None)


def _scale(ours: str, scale: str, options: Options) -> Decimal:
    try:
        factor = Decimal(scale or 1)
        if factor.is_finite() and factor > 0 and -30 < factor.adjusted() < 30:  # noqa: PLR2004
            return factor
    except InvalidOperation:
        pass
    raise UnreadableFileError(f"{options.spelled(f'{ours}_scale', scale)} is not a number above 0, such as 1e-9.")


def _mark(file: Path, ours: str, samples: Sequence[str], options: Options) -> str:
    with_comma = [text for text in samples if "," in text]
    if not with_comma:
        is_grouped = bool(samples) and all(POINTS_AS_THOUSANDS.fullmatch(text) for text in samples)
        return "," if is_grouped else "."
    if any(text.rfind(".") > text.rfind(",") for text in with_comma if "." in text):
        return "."
    if not all(THOUSANDS.fullmatch(text) for text in with_comma):
        return ","
    if any(text.count(",") > 1 for text in with_comma):
        return "."
    example = printable(with_comma[0])
    raise AmbiguousError(
        f"{file} has {ours} {example}, whose comma may separate decimals or thousands:"
        f" {options.spelled('decimal_mark', 'comma')} or {options.spelled('decimal_mark', 'point')} says which.",
        f"What is the decimal mark of {example}?",
        {"decimal_mark=,": "the comma separates decimals", "decimal_mark=.": "the comma separates thousands"},
    )


def require_usable_prices(file: Path, samples: Sequence[str], form: NumberFormat, options: Options) -> None:
    """Raise an error that names the option, if all the first prices would be left out for want of it."""
    if form.scale != 1 or form.decimals is not None or not samples:
        return
    example = printable(samples[0])
    if all(INTEGER.fullmatch(text) and int(text) >= PRICE_LIMIT for text in samples):
        choices = {
            f"price_scale={scale}": f"{Decimal(samples[0]) * Decimal(scale):f}" for scale in ("1e-9", "1e-8", "1e-6", "1e-4")
        }
        raise AmbiguousError(
            f"{file} has price {example}, too large for a price: {options.spelled('price_scale', '1e-9')} multiplies it.",
            f"What is the price {example}?",
            choices,
        )
    if all(len(text.partition(form.mark)[2].rstrip("0")) > MAX_DECIMALS for text in samples):
        raise _needs_decimals(file, f"price {example}, with more than {MAX_DECIMALS} decimals", options)


def needs_decimals(file: Path, kind: str, options: Options) -> AmbiguousError:
    """Return the question how many digits of a binary number mean something."""
    return _needs_decimals(file, f"price as {kind}, binary floating point, which has no exact decimal value", options)


def _needs_decimals(file: Path, what: str, options: Options) -> AmbiguousError:
    return AmbiguousError(
        f"{file} has {what}: {options.spelled('decimals', '2')} says how many decimals mean something; or store it as a decimal"
        " or as text.",
        f"{file.name} has {what}. How many decimals mean something?",
        {f"decimals={number}": f"{number} decimals" for number in (2, 3, 4, 6, 8)},
    )


def time_format(file: Path, name: str, samples: Sequence[str], options: Options) -> TimeFormat:
    """Return how times are written. Raises AmbiguousError, UnreadableFileError."""
    if options.time_unit and samples and not any(INTEGER.fullmatch(text) or NUMBER.fullmatch(text) for text in samples):
        given = options.spelled("time_unit", options.time_unit)
        raise UnreadableFileError(f"{file} has the time {printable(samples[0])}, which is no number: leave {given} out.")
    unit = options.time_unit or _unit(file, samples, options)
    _require_order(file, samples, options)
    order = options.date_order or _order(file, samples, options)
    return TimeFormat(unit, order, *zone(file, name, has_clock_without_zone(samples), options))


def zone(file: Path, name: str, is_open: bool, options: Options) -> tuple[str, bool]:  # noqa: FBT001
    """Return the zone of times that name none, UTC where it does not matter, and whether a replay assumes it.

    Raises AmbiguousError, UnreadableFileError.
    """
    if options.time_zone:
        zone_of(options.time_zone)
        return options.time_zone, False
    plain = re.sub(r"[\W_]+", "_", name.lower()).strip("_")
    if not is_open or options.is_replay or NAMED_UTC.search(plain):
        return "UTC", is_open and not NAMED_UTC.search(plain)
    raise AmbiguousError(
        f"{file} has times that name no zone: {options.spelled('time_zone', 'UTC')} or"
        f" {options.spelled('time_zone', 'America/New_York')} says which.",
        "In which time zone are the times?",
        {f"time_zone={choice}": choice for choice in ("UTC", "America/New_York", "Europe/London", "Asia/Tokyo")},
    )


def has_clock_without_zone(samples: Sequence[str]) -> bool:
    """Whether a time of day names no zone."""
    matches = [match for text in samples if (match := TIME.fullmatch(text))]
    return any(match["hour"] is not None and match["zone"] is None for match in matches)


def _unit(file: Path, samples: Sequence[str], options: Options) -> TimeUnit:
    numbers = [int(text.partition(".")[0]) for text in samples if _is_number(text)]
    if not numbers:
        return "ns"
    # The years of the contract are so few that a number is a time in one unit only; a wrong one is left out later.
    fitting = [unit for unit, factor in NANOSECONDS.items() if any(number * factor in EVENT_TIMES_NS for number in numbers)]
    if len(fitting) == 1:
        return fitting[0]
    example = numbers[0]
    raise AmbiguousError(
        f"{file} has the time {example}, of unknown unit: {options.spelled('time_unit', 's')}, ms, us or ns says which.",
        f"What is the unit of the time {example}?",
        {f"time_unit={unit}": unit for unit in NANOSECONDS},
    )


def _is_number(text: str) -> bool:
    return bool((INTEGER.fullmatch(text) and not is_compact_date(text)) or NUMBER.fullmatch(text))


def _require_order(file: Path, samples: Sequence[str], options: Options) -> None:
    """Raise UnreadableFileError if the dates have another order than the option says."""
    for text in samples if options.date_order in ORDERS else ():
        match = TIME.fullmatch(text)
        parts = re.split(r"[-/. ]", match["date"]) if match else []
        if len(parts) == 3 and all(part.isdigit() and len(part) < 3 for part in parts[:2]):  # noqa: PLR2004
            other: DateOrder = "mdy" if options.date_order == "dmy" else "dmy"
            first, second = int(parts[0]), int(parts[1])
            if max(first, second) > 12 >= (first if other == "mdy" else second):  # noqa: PLR2004 (months)
                given, wanted = (options.spelled("date_order", order) for order in (options.date_order or "", other))
                raise UnreadableFileError(f"{file} has the date {printable(text)}, which is none with {given}: use {wanted}.")


def _order(file: Path, samples: Sequence[str], options: Options) -> DateOrder:
    dates = [re.split(r"[-/. ]", match["date"]) for text in samples if (match := TIME.fullmatch(text))]
    pairs = [(int(parts[0]), int(parts[1])) for parts in dates if len(parts) == 3 and len(parts[0]) < 3 and parts[1].isdigit()]  # noqa: PLR2004
    if any(len(parts[0]) == 4 for parts in dates):  # noqa: PLR2004 (a year)
        return "ymd"
    if not pairs:
        # A date such as 5-Jan-2024 has only one order, and is not one that begins with the year.
        return "dmy" if any(len(parts) == 3 and len(parts[0]) < 3 for parts in dates) else "ymd"  # noqa: PLR2004
    fitting: list[DateOrder] = []
    if all(first <= 31 and second <= 12 for first, second in pairs):  # noqa: PLR2004
        fitting.append("dmy")
    if all(first <= 12 and second <= 31 for first, second in pairs):  # noqa: PLR2004
        fitting.append("mdy")
    if len(fitting) == 1:
        return fitting[0]
    example = printable(next(text for text in samples if TIME.fullmatch(text)))
    raise AmbiguousError(
        f"{file} has the date {example}, whose day and month cannot be told apart: {options.spelled('date_order', 'dmy')} or"
        f" {options.spelled('date_order', 'mdy')} says which comes first.",
        f"What is the order of the date {example}?",
        {f"date_order={order}": what for order, what in ORDERS.items()},
    )
