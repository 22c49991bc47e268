"""Real prices end to end: daily closes of five companies from a CSV file, through Kafka, into the table, digit for digit."""

from __future__ import annotations

import csv
import gzip
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import bokeh_sampledata
import pytest

from finance_lake.state.table import open_table

if TYPE_CHECKING:
    from tests.stack.pipeline import Stack

pytestmark = pytest.mark.stack

STOCKS = Path(bokeh_sampledata.__file__).parent / "_data" / "stocks.csv.gz"


def _closes(file: Path) -> list[tuple[str, str, str]]:
    """Write the closes as a user's CSV file, their text untouched; give symbol, price and day of each line."""
    with gzip.open(STOCKS, "rt", newline="") as stocks:
        rows = [(row["Ticker"], row["Close"], row["Date"]) for row in csv.DictReader(stocks)]
    file.write_text("symbol,price,ts_event\n" + "".join(f"{','.join(row)}\n" for row in rows))
    return rows


def test_every_real_price_arrives_in_the_table_digit_for_digit(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "closes.csv"
    closes = _closes(file)
    assert {symbol for symbol, _, _ in closes} == {"AAPL", "FB", "GOOG", "IBM", "MSFT"}

    run = stack.make_topic().run("producer spark-job", TICK_SOURCE="replay", REPLAY_FILE=str(file), TICKS_PER_SECOND=0)
    run.wait_for(rf"\bstopped +made={len(closes)} acknowledged={len(closes)} unsent=0")
    run.wait_for("batch id=")
    stack.wait_until_stored()
    assert run.stop() == 0

    stack.assert_complete()
    table = open_table(stack.layout.ticks)
    assert table is not None
    rows = table.to_pyarrow_table(columns=["seq", "symbol", "price", "ts_event", "ts_event_nanos"]).sort_by("seq").to_pylist()
    assert [row["seq"] for row in rows] == list(range(len(closes)))
    for (symbol, price, day), row in zip(closes, rows, strict=True):
        assert row["symbol"] == symbol
        assert row["price"] == Decimal(price)
        assert row["ts_event"] == datetime.fromisoformat(day).replace(tzinfo=UTC)
        assert not row["ts_event_nanos"]
