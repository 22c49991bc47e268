"""Real prices end to end: daily closes of five companies from a CSV file through Kafka into the table, digit for digit."""

from __future__ import annotations

import csv
import gzip
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import bokeh_sampledata
import pytest

from finance_lake.lake import Lake
from finance_storage.delta_table import open_table

if TYPE_CHECKING:
    from tests.support.stack import Stack

pytestmark = pytest.mark.stack

STOCKS = Path(bokeh_sampledata.__file__).parent / "_data" / "stocks.csv.gz"


def _closes(file: Path) -> list[tuple[str, str, str]]:
    """Write the closes as a user's CSV file, with their text unchanged; return symbol, price and day of each line."""
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
    stack.assert_completed_by(run)
    table = open_table(stack.paths.ticks)
    assert table is not None
    rows = table.to_pyarrow_table(columns=["seq", "symbol", "price", "ts_event", "ts_event_nanos"]).sort_by("seq").to_pylist()
    assert [row["seq"] for row in rows] == list(range(len(closes)))
    for (symbol, price, day), row in zip(closes, rows, strict=True):
        assert row["symbol"] == symbol
        assert row["price"] == Decimal(price)
        assert row["ts_event"] == datetime.fromisoformat(day).replace(tzinfo=UTC)
        assert not row["ts_event_nanos"]


def test_a_file_without_a_valid_tick_fails_with_the_reason_last(own_stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "frame.csv"
    file.write_text("symbol,price\n" + "AAPL,-189.12\n" * 200)

    run = own_stack.run(
        "zookeeper kafka topic-init producer spark-job",
        RUN_SECONDS=60,
        TICK_SOURCE="replay",
        REPLAY_FILE=str(file),
        TICKS_PER_SECOND=0,
    )

    assert run.end() == 1, run.text()
    text = run.text()
    assert "reason=price_range" in text
    assert "rows=200" in text
    assert "frame.csv has no row that is a valid tick: nothing was published." in text
    assert "producer ended with code 2" in text.splitlines()[-1]
    assert "complete: 0 lost" not in text


def test_a_replayed_export_has_the_same_ticks_to_the_nanosecond(stack: Stack, tmp_path: Path) -> None:
    columns = ["symbol", "price", "size", "ts_event", "ts_event_nanos"]
    stack.make_topic().send(
        [b'{"symbol":"AAPL","price":174.50000001,"size":3,"ts_event":1790000000000000%03d}' % n for n in range(100)]
    )
    job = stack.run("spark-job")
    stack.wait_until_stored()
    first = Lake(stack.paths.root).ticks().arrow.select(columns)
    assert first.column("ts_event_nanos").to_pylist() == list(range(100))
    exported = tmp_path / "day.csv"
    export = [sys.executable, "-m", "finance_lake", "export", str(exported), "--data", str(stack.paths.root)]
    subprocess.run(export, check=True, capture_output=True, cwd=tmp_path)

    run = stack.run("producer", TICK_SOURCE="replay", REPLAY_FILE=str(exported), TICKS_PER_SECOND=0)
    run.wait_for(r"\bstopped +made=100 acknowledged=100 unsent=0")
    stack.wait_until_stored()
    assert run.stop() == 0
    assert job.stop() == 0

    twice = Lake(stack.paths.root).ticks().arrow.sort_by([("source", "descending"), ("ts_event_nanos", "ascending")])
    assert twice.slice(0, 100).select(columns).equals(first)
