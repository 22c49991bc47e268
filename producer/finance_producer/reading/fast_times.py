"""Read whole columns of times in their usual notations; a row that is not in one of them is left to `times`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from finance_contract.tick import EVENT_TIMES_NS
from finance_producer.reading.prices import only
from finance_producer.reading.times import DAY_NS, NANOSECONDS, SECOND_NS, offsets_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from finance_producer.reading.times import TimeFormat

    Integers = NDArray[np.int64]
    Codes = NDArray[np.uint8]
    Mask = NDArray[np.bool_]

MONTH_DAYS = np.array([0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)
ZERO = ord("0")
QUARTER = 900
COMPACT_DATE_LENGTH, MAX_INTEGER_LENGTH = 8, 19
DATE_LENGTH, MINUTE_LENGTH, SECOND_LENGTH = 10, 16, 19
OFFSET_LENGTH = 6  # +02:00
MAX_FRACTION = 9


def times_ns(column: pa.Array, form: TimeFormat) -> tuple[Integers, Mask]:
    """Return times in nanoseconds since 1970, and a mask of the rows that were read. Others have no meaning."""
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _of_timestamps(column, form)
    if pa.types.is_integer(kind):
        return _of_integers(column.cast(pa.int64(), safe=kind != pa.uint64()), form)
    text = column.cast(pa.string())
    if are_digits(text):
        return _of_integers(text.cast(pa.int64()), form)
    numbers = only(text, r"^[0-9]{9,18}$|^[1-8][0-9]{18}$")
    if numbers.null_count == len(text):
        return _of_texts(text, form)
    times, read = _of_integers(numbers.cast(pa.int64()), form)
    if numbers.null_count > text.null_count:
        others, are_times = _of_texts(text, form)
        times, read = np.where(are_times, others, times), read | are_times
    return times, read


def are_digits(text: pa.Array) -> bool:
    """Whether all texts are digits that fit an integer; none is missing, nor eight digits long, which may be a date."""
    if text.null_count or not len(text):
        return False
    offsets = np.frombuffer(text.buffers()[1], np.int32)[text.offset : text.offset + len(text) + 1]
    lengths = np.diff(offsets)
    if lengths.min() <= COMPACT_DATE_LENGTH or lengths.max() > MAX_INTEGER_LENGTH:
        return False
    codes = np.frombuffer(text.buffers()[2], np.uint8)
    if (codes[offsets[0] : offsets[-1]] - np.uint8(ZERO) > 9).any():  # noqa: PLR2004 (unsigned, so smaller characters are larger)
        return False
    # 19 digits fit up to 9223372036854775807.
    return bool((codes[offsets[:-1][lengths == MAX_INTEGER_LENGTH]] < ord("9")).all())


def _of_integers(column: pa.Array, form: TimeFormat) -> tuple[Integers, Mask]:
    factor = NANOSECONDS[form.unit]
    known = np.asarray(column.is_valid())
    values = column.fill_null(0).to_numpy(zero_copy_only=False)
    known = known & (values >= EVENT_TIMES_NS.start // factor) & (values < EVENT_TIMES_NS.stop // factor)
    return np.where(known, values, 0) * factor, known


def _of_timestamps(column: pa.Array, form: TimeFormat) -> tuple[Integers, Mask]:
    known = np.asarray(column.is_valid())
    is_date = pa.types.is_date(column.type)
    column = column.cast(pa.timestamp("s")) if is_date else column
    values = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    factor = NANOSECONDS[column.type.unit]
    known = known & (values >= -EVENT_TIMES_NS.stop // factor) & (values < EVENT_TIMES_NS.stop // factor)
    local = np.where(known, values, 0) * factor
    if column.type.tz is not None:
        return local, known
    return from_zone(local, known, form.zone)


def _of_texts(text: pa.Array, form: TimeFormat) -> tuple[Integers, Mask]:
    """Read `2024-01-05T12:00:00.123456789Z` and its shorter forms, all texts of one length at a time."""
    known = np.asarray(text.is_valid())
    offsets = np.frombuffer(text.buffers()[1], np.int32)[text.offset : text.offset + len(text) + 1].astype(np.int64)
    data = text.buffers()[2]
    codes = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    lengths = np.diff(offsets) * known
    result, read = np.zeros(len(text), np.int64), np.zeros(len(text), bool)
    for length in np.unique(lengths).tolist():
        if DATE_LENGTH <= length <= SECOND_LENGTH + 1 + MAX_FRACTION + OFFSET_LENGTH:
            rows = np.flatnonzero(lengths == length)
            result[rows], read[rows] = _same_length(_matrix(codes, offsets, rows, length), form)
    return result, read


def _matrix(codes: Codes, offsets: Integers, rows: Integers, length: int) -> Codes:
    """Return the characters of texts of one length, a column for each place."""
    if len(rows) == len(offsets) - 1:
        return codes[offsets[0] : offsets[0] + len(rows) * length].reshape(len(rows), length)
    matrix: Codes = codes[offsets[rows][:, None] + np.arange(length)]
    return matrix


def _same_length(text: Codes, form: TimeFormat) -> tuple[Integers, Mask]:
    body, offset, known, has_zone = _without_zone(text)
    days, is_date = _days(body)
    clock, is_clock = _clock(body)
    known &= is_date & is_clock
    local = days * DAY_NS + clock
    if has_zone:
        return local - offset * SECOND_NS, known
    return from_zone(local, known, form.zone)


def _without_zone(text: Codes) -> tuple[Codes, Integers, Mask, bool]:
    """Split off a zone, if the first text ends with one: the rest, offsets in seconds, where it is there, whether it is."""
    length = text.shape[1]
    every = np.ones(len(text), bool)
    if length > MINUTE_LENGTH and text[0, -1] == ord("Z"):
        return text[:, :-1], np.zeros(len(text), np.int64), text[:, -1] == ord("Z"), True
    if length >= MINUTE_LENGTH + OFFSET_LENGTH and text[0, -OFFSET_LENGTH] in b"+-":
        sign, zone = text[:, -OFFSET_LENGTH], text[:, -OFFSET_LENGTH + 1 :]
        hours, minutes = _number(zone[:, :2]), _number(zone[:, 3:])
        known = np.isin(sign, np.frombuffer(b"+-", np.uint8)) & (zone[:, 2] == ord(":"))
        known &= (hours >= 0) & (hours < 24) & (minutes >= 0) & (minutes < 60)  # noqa: PLR2004
        offset = (hours * 3600 + minutes * 60) * np.where(sign == ord("-"), -1, 1)
        return text[:, :-OFFSET_LENGTH], offset, known, True
    return text, np.zeros(len(text), np.int64), every, False


def _number(digits: Codes) -> Integers:
    """Return the numbers in columns of digits; a negative one where a character is no digit."""
    value, wrong = np.zeros(len(digits), np.int64), np.zeros(len(digits), bool)
    for place in range(digits.shape[1]):
        digit = digits[:, place] - ZERO
        wrong |= digit > 9  # noqa: PLR2004 (unsigned, so smaller characters are larger)
        value = value * 10 + digit
    return np.where(wrong, -1, value)


def _days(text: Codes) -> tuple[Integers, Mask]:
    """Return days since 1970 (https://howardhinnant.github.io/date_algorithms.html), and where there is a date."""
    year, month, day = _number(text[:, :4]), _number(text[:, 5:7]), _number(text[:, 8:10])
    known = (text[:, 4] == ord("-")) & (text[:, 7] == ord("-")) & (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1)  # noqa: PLR2004
    month = np.where(known, month, 1)
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    known &= (day <= MONTH_DAYS[month]) & ~((month == 2) & (day == 29) & ~leap)  # noqa: PLR2004
    shifted = year - (month <= 2)  # noqa: PLR2004
    era = shifted // 400
    of_era = shifted - era * 400
    of_year = (153 * (month + np.where(month > 2, -3, 9)) + 2) // 5 + day - 1  # noqa: PLR2004
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468, known


def _clock(text: Codes) -> tuple[Integers, Mask]:
    """Return the time of day in nanoseconds, and where there is one."""
    length = text.shape[1]
    if length == DATE_LENGTH:
        return np.zeros(len(text), np.int64), np.ones(len(text), bool)
    if length not in {MINUTE_LENGTH, SECOND_LENGTH} and not SECOND_LENGTH + 1 < length <= SECOND_LENGTH + 1 + MAX_FRACTION:
        return np.zeros(len(text), np.int64), np.zeros(len(text), bool)
    hour, minute = _number(text[:, 11:13]), _number(text[:, 14:16])
    known = ((text[:, 10] == ord("T")) | (text[:, 10] == ord(" "))) & (text[:, 13] == ord(":"))
    second = fraction = np.zeros(len(text), np.int64)
    if length >= SECOND_LENGTH:
        second = _number(text[:, 17:19])
        known &= text[:, 16] == ord(":")
    if length > SECOND_LENGTH:
        fraction = _number(text[:, 20:])
        known &= (text[:, 19] == ord(".")) & (fraction >= 0)
        fraction = fraction * 10 ** (SECOND_LENGTH + 1 + MAX_FRACTION - length)
    known &= (hour >= 0) & (hour < 24) & (minute >= 0) & (minute < 60) & (second >= 0) & (second < 60)  # noqa: PLR2004
    return (hour * 3600 + minute * 60 + second) * SECOND_NS + fraction, known


def from_zone(local: Integers, known: Mask, zone: str) -> tuple[Integers, Mask]:
    """Return local times in UTC; those near a change of clocks are left to `times.from_zone`."""
    if zone == "UTC":
        return local, known
    quarters, at = np.unique(np.where(known, local // (QUARTER * SECOND_NS), 0), return_inverse=True)
    offsets = np.zeros(len(quarters), np.int64)
    steady = np.zeros(len(quarters), bool)
    for number, quarter in enumerate(quarters.tolist()):
        found = _steady_offset(quarter, zone)
        if found is not None:
            offsets[number], steady[number] = found, True
    return local - offsets[at] * SECOND_NS, known & steady[at]


def _steady_offset(quarter: int, zone: str) -> int | None:
    """Return the offset of a whole quarter of an hour of local time, in seconds; None if it is not the same throughout."""
    try:
        ends = [offsets_at(quarter * QUARTER + second, zone) for second in (0, QUARTER // 2, QUARTER - 1)]
    except ValueError:
        return None
    return next(iter(ends[0])) if ends[0] == ends[1] == ends[2] and len(ends[0]) == 1 else None
