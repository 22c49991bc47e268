"""Data files: their description matches the file on disk."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finance_storage.data_file import WrittenFile, rows_by_partition, statistics_of, write_data_file
from finance_storage.digest import UNDIGESTED, digest_of
from finance_storage.schemas import FIELDS, STATISTICS, TICK_FIELDS
from tests.support.nasty_paths import NASTY
from tests.support.tampering import flip_bit

DATE = {"date": "2026-11-24"}
ARRIVED = datetime(2026, 11, 24, 12, 0, 0, 123000, tzinfo=UTC)


def tick(offset: int, **changes: object) -> dict[str, object]:
    return {
        "symbol": "AAPL",
        "price": Decimal("174.50000001") + offset,
        "size": None,
        "ts_event": ARRIVED - timedelta(microseconds=offset),
        "ts_event_nanos": None,
        "seq": offset,
        "source": "sim-7",
        "kafka_partition": offset % 3,
        "kafka_offset": offset,
        "kafka_timestamp": ARRIVED,
        "ingested_at": ARRIVED + timedelta(seconds=1),
    } | changes


def ticks(*rows: dict[str, object]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=TICK_FIELDS)


TICKS = ticks(*(tick(offset) for offset in range(100)))
QUARANTINE = pa.Table.from_pylist(
    [
        {
            "kafka_partition": 1,
            "kafka_offset": 7,
            "kafka_timestamp": ARRIVED,
            "key": b"AAPL",
            "value": b"\xff",
            "value_length": 1,
            "value_sha256": "a8100ae6aa1940d0b663bb31cd466142ebbdbd5187131b92d93818987832eb89",
            "reason": "invalid_utf8",
            "detail": "invalid start byte at byte 0",
            "ingested_at": ARRIVED,
        }
    ],
    schema=FIELDS["quarantine"],
)


def write_ticks(folder: Path, rows: pa.Table = TICKS) -> WrittenFile:
    return write_data_file(rows, "ticks", folder, DATE)


def moments(*microseconds: int | None) -> pa.Table:
    """Return a column of times at these numbers of microseconds after a full second."""
    second = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
    column = [None if number is None else second + timedelta(microseconds=number) for number in microseconds]
    return pa.table({"at": pa.array(column, pa.timestamp("us", "UTC"))})


def test_the_file_has_the_reported_size(tmp_path: Path) -> None:
    file = write_ticks(tmp_path)
    assert (tmp_path / file.path).stat().st_size == file.size > 0
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / file.path]


def test_the_path_is_relative_and_names_the_partition(tmp_path: Path) -> None:
    file = write_ticks(tmp_path)
    assert file.path.startswith("date=2026-11-24/part-")
    assert file.path.endswith(".parquet")
    assert file.partition_values == DATE


def test_a_table_without_partitions_has_its_files_at_its_root(tmp_path: Path) -> None:
    file = write_data_file(QUARANTINE, "quarantine", tmp_path, {})
    assert (tmp_path / file.path).parent == tmp_path
    assert (file.table, file.partition_values) == ("quarantine", {})


def test_no_two_files_have_the_same_name(tmp_path: Path) -> None:
    assert len({write_ticks(tmp_path).path for _ in range(3)}) == 3


@pytest.mark.parametrize("name", ["a lake", "50%25", "käse", "a#b?c"])
def test_folder_names_may_have_special_characters(tmp_path: Path, name: str) -> None:
    file = write_ticks(tmp_path / name)
    assert (tmp_path / name / file.path).stat().st_size == file.size


@pytest.mark.parametrize(("table", "rows"), [("ticks", TICKS), ("quarantine", QUARANTINE)])
def test_rows_are_read_back_unchanged_in_the_columns_of_the_table(tmp_path: Path, table: str, rows: pa.Table) -> None:
    file = write_data_file(rows, table, tmp_path, {})
    read = pq.ParquetFile(tmp_path / file.path).read()
    assert read.schema.equals(FIELDS[table])
    assert read.equals(rows)


def test_pages_are_compressed_with_zstd_and_prices_stored_as_integers(tmp_path: Path) -> None:
    file = pq.ParquetFile(tmp_path / write_ticks(tmp_path).path)
    group = file.metadata.row_group(0)
    assert {group.column(place).compression for place in range(group.num_columns)} == {"ZSTD"}
    assert file.schema.column(TICK_FIELDS.get_field_index("price")).physical_type == "INT64"


def test_an_intact_file_passes_its_checksums(tmp_path: Path) -> None:
    path = tmp_path / write_ticks(tmp_path).path
    assert pq.read_table(path, page_checksum_verification=True, partitioning=None).equals(TICKS)


@pytest.mark.parametrize("column", TICK_FIELDS.names)
def test_a_checksum_detects_a_flipped_bit_in_any_column(tmp_path: Path, column: str) -> None:
    path = tmp_path / write_ticks(tmp_path).path
    flip_bit(path, TICK_FIELDS.get_field_index(column))
    with pytest.raises(OSError, match="CRC checksum verification failed"):
        pq.read_table(path, page_checksum_verification=True, partitioning=None)


def test_rows_are_counted_by_partition() -> None:
    assert rows_by_partition(TICKS) == {0: 34, 1: 33, 2: 33}
    assert rows_by_partition(ticks()) == {}


def test_row_counts_statistics_and_digest_are_those_of_the_files_rows(tmp_path: Path) -> None:
    file = write_ticks(tmp_path, TICKS.slice(10, 5))
    read = pq.ParquetFile(tmp_path / file.path).read()
    assert file.rows == {0: 1, 1: 2, 2: 2}
    assert file.statistics == statistics_of(read, STATISTICS["ticks"])
    assert file.digest == digest_of(read)
    assert file.digest != digest_of(TICKS)


@pytest.mark.parametrize("name", [name for name in TICK_FIELDS.names if name not in UNDIGESTED])
def test_the_digest_covers_every_column_but_the_ingestion_time(tmp_path: Path, name: str) -> None:
    values = TICKS.column(name).to_pylist()
    other: dict[str, Any] = {"symbol": "MSFT", "size": 1, "ts_event_nanos": 1, "source": None, "price": Decimal(1)}
    changed = other.get(name, 10_000) if not hasattr(values[0], "year") else values[0] + timedelta(days=1)
    rows = TICKS.set_column(
        TICK_FIELDS.get_field_index(name),
        TICK_FIELDS.field(name),
        [pa.array([changed, *values[1:]], TICK_FIELDS.field(name).type)],
    )
    digests = [write_ticks(tmp_path, table).digest for table in (TICKS, rows)]
    assert digests[0] != digests[1]


@pytest.mark.parametrize("folder", [*NASTY.values(), "s3:/bucket", "file:///tmp", "mock:x", "e%20f"], ids=ascii)
def test_a_folder_is_a_path_and_never_a_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    monkeypatch.chdir(tmp_path)
    file = write_data_file(TICKS, "ticks", Path(folder), DATE)
    assert (tmp_path / folder / file.path).stat().st_size == file.size


def test_statistics_have_count_extremes_and_nulls() -> None:
    rows = ticks(tick(5, symbol="MSFT"), tick(3, symbol="AAPL", ts_event=None), tick(4, symbol="IBM", ts_event=None))
    assert statistics_of(rows, STATISTICS["ticks"]) == {
        "numRecords": 3,
        "minValues": {
            "symbol": "AAPL",
            "ts_event": "2026-11-24T12:00:00.122Z",
            "kafka_partition": 0,
            "kafka_offset": 3,
            "kafka_timestamp": "2026-11-24T12:00:00.123Z",
        },
        "maxValues": {
            "symbol": "MSFT",
            "ts_event": "2026-11-24T12:00:00.123Z",
            "kafka_partition": 2,
            "kafka_offset": 5,
            "kafka_timestamp": "2026-11-24T12:00:00.123Z",
        },
        "nullCount": {"symbol": 0, "ts_event": 2, "kafka_partition": 0, "kafka_offset": 0, "kafka_timestamp": 0},
    }


@pytest.mark.parametrize(
    ("least", "most", "floor", "ceiling"),
    [
        (0, 0, "12:00:00.000", "12:00:00.000"),
        (1, 1, "12:00:00.000", "12:00:00.001"),
        (999, 1000, "12:00:00.000", "12:00:00.001"),
        (123_456, 123_456, "12:00:00.123", "12:00:00.124"),
        (999_999, 999_999, "12:00:00.999", "12:00:01.000"),
    ],
)
def test_minima_are_rounded_down_and_maxima_up_to_milliseconds(least: int, most: int, floor: str, ceiling: str) -> None:
    statistics = statistics_of(moments(most, least), ("at",))
    assert statistics["minValues"] == {"at": f"2026-11-24T{floor}Z"}
    assert statistics["maxValues"] == {"at": f"2026-11-24T{ceiling}Z"}


def test_statistics_include_times_before_the_epoch() -> None:
    rows = pa.table({"at": pa.array([datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)], pa.timestamp("us", "UTC"))})
    statistics = statistics_of(rows, ("at",))
    assert statistics["minValues"] == {"at": "1969-12-31T23:59:59.999Z"}
    assert statistics["maxValues"] == {"at": "1970-01-01T00:00:00.000Z"}


def test_a_column_of_nulls_has_no_extremes() -> None:
    assert statistics_of(moments(None, None), ("at",)) == {
        "numRecords": 2,
        "minValues": {},
        "maxValues": {},
        "nullCount": {"at": 2},
    }
