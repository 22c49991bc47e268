"""Rows on terminals of various widths."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from rich.console import Console

from finance_lake.cli import display
from finance_role.text import price

ROWS = [
    {"symbol": "AAPL", "ts": datetime(2026, 11, 24, 10, 30, tzinfo=UTC), "price": Decimal("174.50000000"), "n": 1234},
    {"symbol": "MSFT", "ts": datetime(2026, 11, 24, 10, 30, 0, 250_000, tzinfo=UTC), "price": None, "n": 5},
]
WIDE = """\
symbol  ts (UTC)                  price      n
AAPL    2026-11-24 10:30:00      174.50  1,234
MSFT    2026-11-24 10:30:00.250              5
"""
CLOSE = """\
symbol ts (UTC)                 price     n
AAPL   2026-11-24 10:30:00     174.50 1,234
MSFT   2026-11-24 10:30:00.250            5
"""
NARROW = """\
symbol  AAPL
ts      2026-11-24 10:30:00
price   174.50
n       1,234

symbol  MSFT
ts      2026-11-24 10:30:00.250
price
n       5
"""


@pytest.mark.parametrize(("columns", "shown"), [(120, WIDE), (46, WIDE), (45, CLOSE), (43, CLOSE), (42, NARROW)])
def test_rows_are_printed_in_the_form_that_fits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int, shown: str
) -> None:
    monkeypatch.setattr(display, "console", lambda: Console(width=columns))
    display.print_rows(ROWS, ["symbol", "ts", "price", "n"])
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == shown.splitlines()


@pytest.mark.parametrize(
    ("microsecond", "shown"), [(0, "10:30:00"), (250_000, "10:30:00.250"), (1, "10:30:00.000001"), (1000, "10:30:00.001")]
)
def test_a_time_has_only_the_decimals_it_needs(microsecond: int, shown: str) -> None:
    assert display.cell(datetime(2026, 11, 24, 10, 30, 0, microsecond, tzinfo=UTC)) == f"2026-11-24 {shown}"


@pytest.mark.parametrize(
    ("value", "shown"),
    [("174.50000000", "174.50"), ("0.00000001", "0.00000001"), ("1E+3", "1000"), ("7", "7"), ("7.00", "7.00"), ("NaN", "NaN")],
)
def test_a_decimal_is_shown_in_plain_digits(value: str, shown: str) -> None:
    assert price(Decimal(value)) == shown
