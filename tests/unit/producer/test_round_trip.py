"""Replaying a file of `financelake export` gives the same ticks: each digit of a price, each nanosecond."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from finance_contract import Reason, Tick, decode, encode
from finance_contract.tick import EVENT_TIMES_NS, SYMBOL
from finance_lake.cli import app
from finance_lake.export import write
from finance_lake.lake import Lake
from finance_producer.reading.options import Options
from finance_producer.reading.reader import read
from finance_producer.replay import Replay
from finance_storage.schemas import FIELDS
from tests.support.lakes import BuiltLake

if TYPE_CHECKING:
    from collections.abc import Sequence

FORMATS = ["csv", "parquet", "arrow"]
ANY_SYMBOL = st.from_regex(SYMBOL, fullmatch=True)
# Those that a spreadsheet would run as a formula, which an export to CSV guards with an apostrophe.
FORMULAS = ANY_SYMBOL.map(lambda symbol: f"@{symbol[:63]}".rstrip())
TICKS = st.builds(
    Tick,
    symbol=ANY_SYMBOL | FORMULAS,
    price=st.integers(1, 10**18 - 1).map(lambda units: Decimal(units).scaleb(-8)),
    size=st.none() | st.integers(0, 2**63 - 1),
    ts_event=st.none() | st.integers(EVENT_TIMES_NS[0], EVENT_TIMES_NS[-1]),
)


def _replayed(file: Path) -> tuple[list[tuple[object, ...]], list[str]]:
    rejects: list[str] = []
    rows = read(file, Options(spelling="setting")).converted
    replay = Replay(rows, "test", lambda line, reason: rejects.append(f"{line} {reason}"))
    ticks: list[tuple[object, ...]] = []
    while not replay.ended:
        ticks += [_fields(decode(value)) for value in replay.take(1000).values]
    return ticks, rejects


def _fields(tick: Tick) -> tuple[object, ...]:
    return tick.symbol, tick.price, tick.size, tick.ts_event


def _as_stored(ticks: Sequence[Tick]) -> pa.Table:
    """Return ticks in the columns of the table."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    rows = [
        {
            "symbol": tick.symbol,
            "price": tick.price,
            "size": tick.size,
            "ts_event": None if tick.ts_event is None else epoch + timedelta(microseconds=tick.ts_event // 1000),
            "ts_event_nanos": None if tick.ts_event is None else tick.ts_event % 1000,
            "kafka_partition": 0,
            "kafka_offset": offset,
            "kafka_timestamp": epoch,
            "ingested_at": epoch,
        }
        for offset, tick in enumerate(ticks)
    ]
    return pa.Table.from_pylist(rows, schema=FIELDS["ticks"])


@pytest.mark.parametrize("ending", FORMATS)
@settings(max_examples=15, deadline=None)
@given(ticks=st.lists(TICKS, min_size=1, max_size=50))
def test_any_ticks_of_a_table_survive_export_and_replay(ending: str, ticks: list[Tick]) -> None:
    table = _as_stored(ticks)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, f"ticks.{ending}")
        write(target, table.schema, table.to_batches())
        assert _replayed(target) == ([_fields(tick) for tick in ticks], [])


def test_only_the_apostrophe_of_a_guarded_formula_is_taken_off(tmp_path: Path) -> None:
    file = tmp_path / "f.csv"
    file.write_text("symbol,price\n'@ES#,1\n@ES#,1\n'AAPL,1\n''@ES#,1\n'@,1\n")
    ticks, rejects = _replayed(file)
    assert [symbol for symbol, *_ in ticks] == ["@ES#", "@ES#", "@"]
    assert [reject.partition(":")[0] for reject in rejects] == [f"{line} {Reason.SYMBOL_INVALID}" for line in (4, 5)]


@pytest.mark.parametrize("ending", FORMATS)
def test_an_export_by_the_command_is_replayed_in_order(tmp_path: Path, ending: str) -> None:
    moments = [1_790_000_000_000_000_000 + number for number in (0, 1, 999, 1000, 123_456_789)]
    ticks = [Tick("AAPL", Decimal("174.50000001"), 10 * place, moment) for place, moment in enumerate(moments)]
    built = BuiltLake(tmp_path / "data")
    built.store([encode(tick) for tick in ticks])
    target = tmp_path / f"ticks.{ending}"
    result = CliRunner().invoke(app, ["export", str(target), "--data", str(built.paths.root)])
    assert result.exit_code == 0, result.output
    assert _replayed(target) == ([_fields(tick) for tick in ticks], [])
    again = BuiltLake(tmp_path / "again")
    again.store([encode(Tick(*fields)) for fields in _replayed(target)[0]])  # type: ignore[arg-type]
    columns = ["symbol", "price", "size", "ts_event", "ts_event_nanos"]
    with Lake(built.paths.root) as before, Lake(again.paths.root) as after:
        assert before.ticks().arrow.select(columns).equals(after.ticks().arrow.select(columns))


@pytest.mark.parametrize(
    ("row", "detail"),
    [
        ("A,1,,5", "ts_event_nanos 5 without a ts_event"),
        ("A,1,2024-01-05,1000", "ts_event_nanos 1000 is not from 0 to 999"),
        ("A,1,2024-01-05,-1", "ts_event_nanos -1 is not from 0 to 999"),
        ("A,1,2024-01-05,1.0", "ts_event_nanos 1.0 is not from 0 to 999"),
        ("A,1,2024-01-05T00:00:00.000000002Z,5", "ts_event ends with 2 nanoseconds, ts_event_nanos says 5"),
    ],
)
def test_a_row_with_inconsistent_nanoseconds_is_left_out(tmp_path: Path, row: str, detail: str) -> None:
    file = tmp_path / "f.csv"
    file.write_text(f"symbol,price,ts_event,ts_event_nanos\n{row}\nA,1,2024-01-05T00:00:00.000000005Z,5\n")
    ticks, rejects = _replayed(file)
    assert rejects == [f"2 {Reason.TS_EVENT_TYPE}: {detail}"]
    assert ticks == [("A", Decimal(1), None, 1_704_412_800_000_000_005)]
