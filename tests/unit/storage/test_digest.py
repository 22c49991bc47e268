"""The digest of rows: independent of order and files, sensitive to everything else."""

from __future__ import annotations

import hashlib
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finance_storage.digest import MODULUS, add, digest_of, to_text

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = pa.schema(
    {
        "symbol": pa.string(),
        "price": pa.decimal128(18, 8),
        "size": pa.int64(),
        "seq": pa.int64(),
        "ts_event_nanos": pa.int16(),
        "kafka_partition": pa.int32(),
        "ts_event": pa.timestamp("us", tz="UTC"),
        "value": pa.binary(),
        "source": pa.string(),
    }
)
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
ROW: dict[str, Any] = {
    "symbol": "AAPL",
    "price": Decimal("174.50000000"),
    "size": 3,
    "seq": 4,
    "ts_event_nanos": 7,
    "kafka_partition": 1,
    "ts_event": MOMENT,
    "value": b"\x00\xff",
    "source": "sim-7",
}
OTHER_ROW: dict[str, Any] = {
    "symbol": "MSFT",
    "price": Decimal("0.00000001"),
    "size": 5,
    "seq": 6,
    "ts_event_nanos": 8,
    "kafka_partition": 2,
    "ts_event": MOMENT + timedelta(microseconds=1),
    "value": b"",
    "source": "replay-1",
}
NULLS: dict[str, Any] = dict.fromkeys(SCHEMA.names)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Types that the job does not write, among them a decimal whose digits do not fit into one word.
OTHER_TYPES = [
    pa.float64(),
    pa.bool_(),
    pa.date32(),
    pa.list_(pa.int64()),
    pa.dictionary(pa.int32(), pa.string()),
    pa.decimal32(9, 4),
    pa.decimal64(18, 8),
    pa.decimal128(19, 8),
    pa.decimal256(18, 8),
]

int64s = st.integers(-(2**63), 2**63 - 1)
row_strategy = st.fixed_dictionaries(
    {
        "symbol": st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
        "price": st.none() | st.decimals(-(10**9), 10**9, places=8).map(lambda price: price.quantize(Decimal("0.00000001"))),
        "size": st.none() | int64s,
        "seq": st.none() | int64s,
        "ts_event_nanos": st.none() | st.integers(0, 999),
        "kafka_partition": st.none() | st.integers(0, 3),
        "ts_event": st.none() | st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
        "value": st.none() | st.binary(max_size=3),
        "source": st.none() | st.sampled_from(["", "a", "b"]),
    }
)
rows_strategy = st.lists(row_strategy, max_size=8)


def table(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), SCHEMA)


def digest(*rows: dict[str, Any]) -> int:
    return digest_of(table(*rows))


def hashed(value: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(value, digest_size=8).digest(), "little")


def word(value: Any) -> int:  # noqa: ANN401
    if value is None:
        return 0x9E3779B97F4A7C15
    if isinstance(value, str | bytes):
        return hashed(value.encode() if isinstance(value, str) else value)
    if isinstance(value, Decimal):
        return int(value.scaleb(8))
    return (value - EPOCH) // timedelta(microseconds=1) if isinstance(value, datetime) else int(value)


def by_definition(row: dict[str, Any]) -> int:
    """Compute a row's digest by its definition, in Python integers."""
    mixed = sum(word(value) * (hashed(name.encode()) | 1) for name, value in row.items()) % MODULUS
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 % MODULUS
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB % MODULUS
    return mixed ^ mixed >> 31


@settings(deadline=None)
@given(rows_strategy)
def test_the_digest_follows_its_definition(rows: list[dict[str, Any]]) -> None:
    assert digest(*rows) == sum(map(by_definition, rows)) % MODULUS


@settings(deadline=None)
@given(rows_strategy, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows: list[dict[str, Any]], random: Any) -> None:  # noqa: ANN401
    shuffled = random.sample(rows, len(rows))
    assert digest(*shuffled) == digest(*rows)


@settings(deadline=None)
@given(rows_strategy, rows_strategy)
def test_digests_of_disjoint_sets_add_up(some: list[dict[str, Any]], others: list[dict[str, Any]]) -> None:
    assert digest(*some, *others) == add([digest(*some), digest(*others)])


@settings(deadline=None)
@given(row_strategy, row_strategy)
def test_rows_that_differ_have_different_digests(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (digest(one) == digest(other)) == (one == other)


def test_no_rows_have_the_digest_zero() -> None:
    assert digest() == 0
    assert add([]) == 0


def test_the_order_of_columns_does_not_matter() -> None:
    assert digest_of(table(ROW).select(SCHEMA.names[::-1])) == digest(ROW)


def test_a_sum_stays_below_the_modulus() -> None:
    assert add([MODULUS - 1, 2]) == 1


@pytest.mark.parametrize("column", SCHEMA.names)
def test_a_changed_value_changes_the_digest(column: str) -> None:
    assert digest({**ROW, column: OTHER_ROW[column]}, OTHER_ROW) != digest(ROW, OTHER_ROW)


@pytest.mark.parametrize(
    ("column", "changed"),
    [
        ("price", Decimal("174.50000001")),
        ("size", 2),
        ("ts_event", MOMENT + timedelta(microseconds=1)),
        ("value", b"\x00\xfe"),
        ("source", "sim-7 "),
    ],
)
def test_the_smallest_change_of_a_value_changes_the_digest(column: str, changed: object) -> None:
    assert digest({**ROW, column: changed}) != digest(ROW)


@pytest.mark.parametrize("column", SCHEMA.names)
def test_values_swapped_between_rows_change_the_digest(column: str) -> None:
    swapped = {**ROW, column: OTHER_ROW[column]}, {**OTHER_ROW, column: ROW[column]}
    assert digest(*swapped) != digest(ROW, OTHER_ROW)


@pytest.mark.parametrize(("one", "other"), [("size", "seq"), ("symbol", "source")])
def test_values_swapped_between_columns_change_the_digest(one: str, other: str) -> None:
    assert digest({**ROW, one: ROW[other], other: ROW[one]}) != digest(ROW)


@pytest.mark.parametrize("column", SCHEMA.names)
def test_a_null_changes_the_digest(column: str) -> None:
    assert digest({**ROW, column: None}) != digest(ROW)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("size", 0),
        ("price", Decimal(0)),
        ("ts_event_nanos", 0),
        ("ts_event", datetime(1970, 1, 1, tzinfo=UTC)),
        ("symbol", ""),
        ("value", b""),
        ("source", "null"),
        ("value", b"null"),
    ],
)
def test_null_is_neither_zero_nor_empty_nor_its_name(column: str, value: object) -> None:
    assert digest({**NULLS, column: value}) != digest(NULLS)
    assert digest({**NULLS, column: value}, NULLS) != digest(NULLS, NULLS)


def test_a_row_that_occurs_twice_counts_twice() -> None:
    assert digest(ROW, ROW) == 2 * digest(ROW) % MODULUS
    assert digest(ROW, ROW) != digest(ROW)


def test_when_a_row_was_stored_does_not_count() -> None:
    later = table(ROW).append_column("ingested_at", pa.array([MOMENT], pa.timestamp("us", tz="UTC")))
    assert digest_of(later) == digest(ROW)


@settings(deadline=None)
@given(st.lists(row_strategy, min_size=1, max_size=8), st.data())
def test_chunks_and_slices_do_not_change_the_digest(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(rows)))
    chunked = pa.concat_tables([table(*rows[:cut]), table(*rows[cut:])])
    surrounded = table(ROW, *rows, NULLS, OTHER_ROW).slice(1, len(rows))
    batch = table(NULLS, *rows).combine_chunks().to_batches()[0].slice(1)
    assert {digest_of(form) for form in (chunked, surrounded, batch)} == {digest(*rows)}


def test_the_bytes_behind_a_null_do_not_count() -> None:
    hidden = pa.Array.from_buffers(pa.int64(), 2, [pa.py_buffer(b"\x01"), pa.py_buffer(bytes([7] * 16))])
    plain = pa.array([hidden[0].as_py(), None], pa.int64())
    assert hidden.equals(plain)
    assert digest_of(pa.table({"size": hidden})) == digest_of(pa.table({"size": plain}))


def test_a_parquet_file_keeps_the_digest(tmp_path: Path) -> None:
    rows = table(ROW, OTHER_ROW, NULLS, {**ROW, "price": Decimal("-9999999999.99999999")})
    pq.write_table(rows, tmp_path / "rows.parquet", store_decimal_as_integer=True, compression="zstd")
    assert digest_of(pq.read_table(tmp_path / "rows.parquet")) == digest_of(rows)


def test_a_timestamp_counts_by_its_time_and_not_by_its_unit() -> None:
    moments = pa.array([MOMENT, None], pa.timestamp("us", tz="UTC"))
    nanoseconds = moments.cast(pa.timestamp("ns", tz="UTC"))
    assert digest_of(pa.table({"at": nanoseconds})) == digest_of(pa.table({"at": moments}))


def two_of(kind: pa.DataType) -> tuple[object, object]:
    if pa.types.is_decimal(kind):
        return Decimal(1), Decimal(2)
    if pa.types.is_list(kind):
        return [1], [2]
    if pa.types.is_date(kind):
        return MOMENT.date(), MOMENT.date() + timedelta(days=1)
    return ("1", "2") if pa.types.is_dictionary(kind) else (False, True) if pa.types.is_boolean(kind) else (1.0, 2.0)


@pytest.mark.parametrize("kind", OTHER_TYPES, ids=str)
def test_a_column_of_another_type_counts_by_its_values(kind: pa.DataType) -> None:
    rows = pa.table({"symbol": ["A", "B", "C"]})
    with_column = [rows.append_column("other", pa.array([value, None, None], kind)) for value in two_of(kind)]
    assert len({digest_of(rows), *map(digest_of, with_column)}) == 3


@pytest.mark.parametrize("kind", [*OTHER_TYPES, pa.string(), pa.int64(), pa.list_(pa.int64())], ids=str)
def test_a_column_that_was_added_later_counts_where_it_is_not_null(kind: pa.DataType) -> None:
    rows = pa.table({"symbol": ["A", None, "C"]})
    assert digest_of(rows.append_column("later", pa.nulls(3, kind))) == digest_of(rows)
    assert digest_of(rows.append_column("size", pa.nulls(3, pa.int64()))) != digest_of(rows)


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view()], ids=str)
def test_a_text_counts_whatever_its_layout(kind: pa.DataType) -> None:
    texts = pa.array(["AAPL", None, ""])
    assert digest_of(pa.table({"symbol": texts.cast(kind)})) == digest_of(pa.table({"symbol": texts}))


def test_digests_of_many_rows_add_up_too() -> None:
    """Also print the speed; no time is asserted."""
    rows = pa.concat_tables([table(ROW, OTHER_ROW, NULLS)] * 1000 * 100).combine_chunks()
    started = time.perf_counter()
    result = digest_of(rows)
    print(f"digest: {rows.num_rows / (time.perf_counter() - started) / 1e6:.1f} million rows/s of {len(SCHEMA.names)} columns")
    assert result == 100_000 * digest(ROW, OTHER_ROW, NULLS) % MODULUS


def test_the_digest_equals_that_in_older_commits() -> None:
    """A change here would make every existing table look altered: it needs a new contract version."""
    assert to_text(digest(ROW, OTHER_ROW, NULLS)) == "269c0c547d1fe978"


def test_the_text_has_sixteen_digits() -> None:
    assert to_text(0xAB) == "00000000000000ab"
