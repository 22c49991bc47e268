"""Candles drawn with characters: one column per bar, with a resolution of half a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from finance_role.text import price

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from decimal import Decimal

    from rich.text import Text

ROWS = 16
# Columns of the price scale, and the width assumed for a pipe.
SCALE, PIPE = 14, 80
RISEN, FALLEN = "green", "red"
# The character of a cell, by its upper and lower half: nothing, wick or body.
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
# For encodings that lack those characters; with a resolution of a whole row.
ASCII_CELLS = {halves: "#" if "body" in halves else "|" if "wick" in halves else " " for halves in CELLS}
ASCII_AXIS = "|"


def max_candles() -> int:
    """Return how many candles fit beside the price scale."""
    import shutil

    return max(1, shutil.get_terminal_size((PIPE, 0)).columns - SCALE)


def draw(title: str, bars: Sequence[Mapping[str, Any]], encoding: str = "utf-8") -> Text:
    """Draw bars, oldest on the left; rising bars green, falling bars red."""
    from rich.text import Text

    cells, axis = (CELLS, AXIS) if _can_encode(encoding) else (ASCII_CELLS, ASCII_AXIS)

    low, high = min(bar["low"] for bar in bars), max(bar["high"] for bar in bars)
    text = Text(f"{title}, {len(bars)} bars up to {bars[-1]['ts']:%Y-%m-%d %H:%M:%S %Z}\n")
    labels = {0: price(high), ROWS - 1: price(low)}
    width = max(map(len, labels.values()))
    for row in range(ROWS):
        text.append(f"{labels.get(row, ''):>{width}} {axis}")
        for bar in bars:
            upper, lower = (_part(bar, _level(2 * row + half, low, high)) for half in (0, 1))
            text.append(cells[upper, lower], RISEN if bar["close"] >= bar["open"] else FALLEN)
        text.append("\n")
    return text


def _can_encode(encoding: str) -> bool:
    try:
        "".join((*CELLS.values(), AXIS)).encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _level(half_row: int, low: Decimal, high: Decimal) -> tuple[Decimal, Decimal]:
    """Return the price range of half a row."""
    height = (high - low) / (2 * ROWS)
    return high - height * (half_row + 1), high - height * half_row


def _part(bar: Mapping[str, Any], level: tuple[Decimal, Decimal]) -> str:
    below, above = level
    if max(bar["open"], bar["close"]) >= below and min(bar["open"], bar["close"]) <= above:
        return "body"
    return "wick" if bar["high"] >= below and bar["low"] <= above else ""
