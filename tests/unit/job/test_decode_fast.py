"""The fast decoder of a batch against the contract's: it accepts no batch with a record that the contract rejects."""

import random
from collections.abc import Sequence

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finance_contract import Malformed, Tick, decode, encode, examples
from finance_job.decode import decode_records
from finance_job.decode_fast import MESSAGE_FIELDS, decode_batch_fast
from tests.unit.contract.test_fast_decoder import SEED, message
from tests.unit.job.test_decode_records import kafka_records

GOOD = b'{"symbol":"AAPL","price":174.5}'
WHOLE = b'{"symbol":"AAPL","price":174.50,"size":3,"ts_event":1764000000123456789,"seq":0,"source":"sim-7"}'


def by_contract(values: Sequence[bytes]) -> pa.Table | None:
    """Decode values one by one; return None if any of them is malformed."""
    try:
        ticks = [decode(value) for value in values]
    except Malformed:
        return None
    return pa.table({name: [getattr(tick, name) for tick in ticks] for name in MESSAGE_FIELDS.names}, schema=MESSAGE_FIELDS)


def assert_never_differs(values: Sequence[bytes]) -> bool:
    """Assert that the fast decoder returns what the contract does, or None; return whether it returned anything."""
    fast = decode_batch_fast(pa.array(values, pa.binary()))
    assert fast is None or fast.equals(by_contract(values)), values
    return fast is not None


def test_the_producers_messages_are_decoded_fast() -> None:
    assert assert_never_differs([GOOD, WHOLE] * 1000)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.from_type(Tick), min_size=1, max_size=5))
def test_every_tick_decodes_as_by_contract(ticks: list[Tick]) -> None:
    assert_never_differs([encode(tick) for tick in ticks])


@pytest.mark.parametrize("value", [value for value in [*examples.valid().values(), *examples.malformed().values()] if value])
def test_every_example_decodes_as_by_contract(value: bytes) -> None:
    assert_never_differs([value])
    assert_never_differs([GOOD, value, WHOLE])


@pytest.mark.parametrize("mutations", [50_000, pytest.param(1_000_000, marks=pytest.mark.faults)])
def test_mutations_alone_and_in_batches_decode_as_by_contract(mutations: int) -> None:
    rng = random.Random(SEED + mutations)  # noqa: S311 (repeatable on purpose)
    accepted = sum(assert_never_differs([message(rng)]) for _ in range(mutations))
    assert accepted > mutations / 20
    for _ in range(mutations // 10):
        assert_never_differs([message(rng) for _ in range(3)])


@pytest.mark.parametrize(
    "values",
    [
        [b'{"symbol":"A","price":1}{"symbol":"B","price":2}', b""],
        [b'{"symbol":"A","price":1}{"symbol":"B","price":2}', b"  "],
        [b'{"symbol":"A","price":1}{"symbol":"B","price":2}', b"{}"],
        [b'{"symbol":"A",', b'"price":1}'],
        [b'{"symbol":"A",', b'"price":1}', b'{"symbol":"B","price":2}{"symbol":"C","price":3}'],
        [b'{"symbol":"A","price":1', b'}{"symbol":"B","price":2}'],
        [b'{"symbol":"A","price":1', b',"size":2}', b'{"symbol":"B","price":2}'],
        [b'{"symbol":"A{","price":1}', b'{"symbol":"B","price":2}'],
        [b'{"symbol":"A","price":1,"source":"{"}', b'{"symbol":"B","price":2,"source":"}"}'],
        [b'{"symbol":"A","symbol":"B"}', b'{"price":1,"price":2}'],
        [b'{"symbol":"A","price":1}', b'{"symbol":"B","price":2,"size":null}'],
        [b'{"symbol":"A","price":1,"venue":1}', GOOD],
        [b'{"symbol":"A","price":"1"}', GOOD],
        [b'{"symbol":"\xff","price":1}', GOOD],
        [b'{"symbol":"A","price":1\x00}', GOOD],
        [b'{"symbol":"A"/**/,"price":1}', GOOD],
        [b'{"symbol":"A","price":1}\n', GOOD],
        [b'{"symbol":"A",\n"price":1}', GOOD],
        [b'{"price":1,"symbol":"A"' + b" " * 65_536 + b"}", GOOD],
        [b"[" + GOOD + b"]", GOOD],
    ],
)
def test_values_that_depend_on_their_neighbours_decode_as_by_contract(values: list[bytes]) -> None:
    assert_never_differs(values)
    assert_never_differs([*values, GOOD])
    assert_never_differs([WHOLE, *values])


def test_a_slice_is_decoded_alone() -> None:
    values = pa.array([b"bad", GOOD, WHOLE, b"bad"], pa.binary()).slice(1, 2)
    fast = decode_batch_fast(values)
    assert fast is not None
    assert fast.equals(by_contract([GOOD, WHOLE]))


def test_one_bad_record_among_many_is_the_only_one_quarantined() -> None:
    values = [GOOD] * 5000
    values[3210] = b"bad"
    decoded = decode_records(kafka_records(values), pa.scalar(0, pa.timestamp("us", "UTC")))
    assert (decoded.ticks.num_rows, decoded.quarantine.column("value").to_pylist()) == (4999, [b"bad"])
