"""Candles drawn with characters: a column a bar, half a row fine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from finance_role.text import price

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from decimal import Decimal

    from rich.text import Text

ROWS = 16
# Columns that the scale of prices takes, and what a pipe is taken to have.
SCALE, PIPE = 14, 80
RISEN, FALLEN = "green", "red"
# What a cell shows, by what its upper and its lower half are: nothing, wick or body.
CELLS = {
    ("", ""): " ",
    ("wick", "wick"): "│",
    ("wick", ""): "╵",
    ("", "wick"): "╷",
    ("body", "body"): "┃",
    ("body", ""): "╹",
    ("", "body"): "╻",
    ("wick", "body"): "╽",
    ("body", "wick"): "╿",
}
AXIS = "┤"
# In an encoding that lacks those; half a row less fine.
ASCII_CELLS = {halves: "#" if "body" in halves else "|" if "wick" in halves else " " for halves in CELLS}
ASCII_AXIS = "|"


def fitting() -> int:
    """Say how many candles fit beside the scale of prices."""
    import shutil

    return max(1, shutil.get_terminal_size((PIPE, 0)).columns - SCALE)


def draw(title: str, bars: Sequence[Mapping[str, Any]], encoding: str = "utf-8") -> Text:
    """Draw bars, the oldest at the left; rising ones green, falling ones red."""
    from rich.text import Text

    cells, axis = (CELLS, AXIS) if _has(encoding) else (ASCII_CELLS, ASCII_AXIS)

    low, high = min(bar["low"] for bar in bars), max(bar["high"] for bar in bars)
    text = Text(f"{title}, {len(bars)} bars up to {bars[-1]['ts']:%Y-%m-%d %H:%M:%S} UTC\n")
    labels = {0: price(high), ROWS - 1: price(low)}
    width = max(map(len, labels.values()))
    for row in range(ROWS):
        text.append(f"{labels.get(row, ''):>{width}} {axis}")
        for bar in bars:
            upper, lower = (_part(bar, _level(2 * row + half, low, high)) for half in (0, 1))
            text.append(cells[upper, lower], RISEN if bar["close"] >= bar["open"] else FALLEN)
        text.append("\n")
    return text


def _has(encoding: str) -> bool:
    try:
        "".join((*CELLS.values(), AXIS)).encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _level(half_row: int, low: Decimal, high: Decimal) -> tuple[Decimal, Decimal]:
    """The prices that half a row stands for."""
    height = (high - low) / (2 * ROWS)
    return high - height * (half_row + 1), high - height * half_row


def _part(bar: Mapping[str, Any], level: tuple[Decimal, Decimal]) -> str:
    below, above = level
    if max(bar["open"], bar["close"]) >= below and min(bar["open"], bar["close"]) <= above:
        return "body"
    return "wick" if bar["high"] >= below and bar["low"] <= above else ""
