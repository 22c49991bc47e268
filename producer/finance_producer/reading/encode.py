"""Encode ticks of a file as message keys and values, a block at a time.

The bytes are those of the contract's `encode`, which a test checks: `encode` makes the beginning for each symbol and the end
for the source, and only numbers are put between them.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from finance_contract import Tick, encode, key

_PRICE = b'"price":'


class Encoded(NamedTuple):
    """Keys and values of ticks."""

    keys: list[bytes]
    values: list[bytes]


def encoded(ticks: pa.RecordBatch, source: str, first_seq: int) -> Encoded:
    """Encode ticks (`convert.SCHEMA`) that are numbered from `first_seq`."""
    symbol, price, size, time = ticks.columns
    symbols = symbol.dictionary.to_pylist()
    beginnings = pa.array([_beginning(name) for name in symbols], pa.string()).take(symbol.indices)
    values = pc.binary_join_element_wise(
        beginnings,
        price,
        _member(',"size":', size),
        _member(',"ts_event":', time.cast(pa.string())),
        ',"seq":',
        pa.array(np.arange(first_seq, first_seq + len(ticks))).cast(pa.string()),
        _end(source),
        "",
    )
    keys = [key(name) for name in symbols]
    return Encoded([keys[index] for index in symbol.indices.to_numpy().tolist()], values.cast(pa.binary()).to_pylist())


def times_of(ticks: pa.RecordBatch) -> list[int | None]:
    """Return the event times of ticks in nanoseconds since 1970; None for a tick without one."""
    times = ticks.column("ts_event")
    return list(times.to_pylist() if times.null_count else times.to_numpy().tolist())


def _member(name: str, value: pa.Array) -> pa.Array | str:
    if value.null_count == len(value):
        return ""
    member = pc.binary_join_element_wise(name, value, "")
    return member.fill_null("") if value.null_count else member


@lru_cache(maxsize=100_000)
def _beginning(symbol: str) -> str:
    value = encode(Tick(symbol, Decimal(1)))
    return value[: value.index(_PRICE) + len(_PRICE)].decode()


def _end(source: str) -> str:
    value = encode(Tick("A", Decimal(1), source=source))
    return value[value.index(b',"source":') :].decode()
