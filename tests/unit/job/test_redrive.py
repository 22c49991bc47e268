"""Redrive: records that pass the current rules move, once, even if it is killed; the accounting is right at every point."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from deltalake import DeltaTable

from finance_contract import Malformed, Reason, decode
from finance_job.guard import examine
from finance_job.repair import redrive
from finance_job.repair.moving import complete
from finance_job.repair.redrive import ALL, Redriven
from finance_job.writer import Writer
from finance_storage import digest
from finance_storage.accounting import find_inconsistencies
from finance_storage.delta_table import newest_metadata, open_table
from finance_storage.paths import QUARANTINE, TICKS
from tests.support.lakes import BAD, GOOD, BuiltLake, numbered

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pyarrow as pa

    from finance_contract import Tick

LATER = b'{"symbol": "LATER", "price": 5}'
CUT = b'{"symbol": "LATER", "price": 5, "pad": "' + b"x" * 70_000 + b'"}'


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Return a switch between old rules, which reject the symbol LATER, and the current ones, which accept it."""

    def decode_strictly(value: bytes | None) -> Tick:
        tick = decode(value)
        if tick.symbol == "LATER":
            raise Malformed(Reason.SYMBOL_INVALID, "not yet")
        return tick

    def choose(is_strict: bool) -> None:  # noqa: FBT001
        monkeypatch.setattr("finance_job.decode.decode", decode_strictly if is_strict else decode)

    choose(True)  # noqa: FBT003
    return choose


@pytest.fixture
def lake(tmp_path: Path, strict: Callable[[bool], None]) -> BuiltLake:
    built = BuiltLake(tmp_path, partitions=2)
    built.store([GOOD, LATER, BAD, LATER, CUT])
    built.store([LATER, None], partition=1)
    built.store(numbered(5))
    strict(False)  # noqa: FBT003
    return built


def rows(lake: BuiltLake, name: str) -> pa.Table:
    table = open_table(lake.paths.table(name))
    assert table is not None
    return table.to_pyarrow_table()


def coordinates(lake: BuiltLake, name: str) -> list[tuple[int, int]]:
    columns = (rows(lake, name).column(column).to_pylist() for column in ("kafka_partition", "kafka_offset"))
    return sorted(zip(*columns, strict=True))


def in_order(lake: BuiltLake) -> bool:
    for name in (TICKS, QUARANTINE):
        table = open_table(lake.paths.table(name))
        assert table is not None
        metadata = newest_metadata(table, lake.paths.table(name))
        assert metadata is not None
        content = rows(lake, name)
        assert (metadata.total.rows, metadata.total.digest) == (content.num_rows, digest.to_text(digest.digest_of(content)))
    return not find_inconsistencies(examine(lake.paths, lake.broker))


def test_records_that_pass_now_become_ticks_with_their_own_coordinates(lake: BuiltLake) -> None:
    assert redrive.redrive(lake.paths, lake.writer, ALL) == Redriven(4, 3)  # neither the cut record nor the tombstone
    assert coordinates(lake, TICKS) == [(0, offset) for offset in (0, 1, 3, 5, 6, 7, 8, 9)] + [(1, 0)]
    assert coordinates(lake, QUARANTINE) == [(0, 2), (0, 4), (1, 1)]
    assert rows(lake, TICKS).column("symbol").to_pylist().count("LATER") == 3
    assert in_order(lake)
    assert not lake.writer.half_redriven()


def test_many_offsets_move_in_several_commits(lake: BuiltLake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redrive, "MAX_RANGES", 0)
    before = lake.writer.metadata(TICKS).redrives
    assert redrive.redrive(lake.paths, lake.writer, ALL) == Redriven(4, 3)
    assert lake.writer.metadata(TICKS).redrives == lake.writer.metadata(QUARANTINE).redrives == before + 2
    assert in_order(lake)


def test_a_record_with_a_cut_value_stays(lake: BuiltLake) -> None:
    redrive.redrive(lake.paths, lake.writer, ALL)
    assert (0, 4) in coordinates(lake, QUARANTINE)


def test_only_records_with_the_given_reason_move(lake: BuiltLake) -> None:
    assert redrive.redrive(lake.paths, lake.writer, "price_type") == Redriven(1, 0)
    assert redrive.redrive(lake.paths, lake.writer, "symbol_invalid").moved == 3


def test_a_second_redrive_moves_nothing(lake: BuiltLake) -> None:
    redrive.redrive(lake.paths, lake.writer, ALL)
    before = [DeltaTable(str(lake.paths.table(name))).version() for name in (TICKS, QUARANTINE)]
    assert redrive.redrive(lake.paths, lake.writer, ALL).moved == 0
    assert before == [DeltaTable(str(lake.paths.table(name))).version() for name in (TICKS, QUARANTINE)]


def test_the_stream_goes_on_after_a_redrive(lake: BuiltLake) -> None:
    redrive.redrive(lake.paths, lake.writer, ALL)
    lake.store([GOOD, BAD], partition=1)
    assert in_order(lake)


class KilledError(BaseException):
    """Stands in for kill -9."""


@pytest.mark.parametrize("step", range(4))
def test_a_redrive_that_is_killed_is_completed(lake: BuiltLake, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    passed = 0

    def dying(module: object, name: str) -> None:
        original = getattr(module, name)

        def call(*arguments: object, **named: object) -> object:
            nonlocal passed
            if passed == step:
                raise KilledError
            passed += 1
            result = original(*arguments, **named)
            if passed == step:
                raise KilledError
            passed += 1
            return result

        monkeypatch.setattr(module, name, call)

    with monkeypatch.context():
        dying(Writer, "commit")
        with pytest.raises(KilledError):
            redrive.redrive(lake.paths, lake.writer, ALL)
    monkeypatch.undo()
    assert not find_inconsistencies(examine(lake.paths, lake.broker))
    Writer(lake.paths, lake.identity)  # a driver that takes over and is killed before it does anything
    assert not find_inconsistencies(examine(lake.paths, lake.broker))

    writer = Writer(lake.paths, lake.identity)
    complete(lake.paths, writer)
    redrive.redrive(lake.paths, writer, ALL)

    assert coordinates(lake, QUARANTINE) == [(0, 2), (0, 4), (1, 1)]
    assert len(coordinates(lake, TICKS)) == len(set(coordinates(lake, TICKS))) == 9
    assert in_order(lake)


def test_a_torn_log_is_reported(lake: BuiltLake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    entry = max((lake.paths.ticks / "_delta_log").glob("*.json"))
    entry.write_bytes(entry.read_bytes()[:50])
    monkeypatch.setenv("DATA_DIR", str(lake.paths.root))
    monkeypatch.setenv("REASON", ALL)
    monkeypatch.setattr(redrive, "begin_role", lambda settings: settings())
    assert redrive.main() == 1
    assert f"the lake at {lake.paths.root} cannot be read" in capsys.readouterr().out
