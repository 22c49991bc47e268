"""An order-independent digest of rows: the sum, modulo 2^64, of a 64-bit hash of each row.

A sum does not depend on how rows are spread over files, so compaction and sorting leave it unchanged, and digests of disjoint
sets of rows add up. Each column has its own constant, so swapping the values of two columns changes the digest. A row's hash is
a multilinear combination of its columns (Lemire and Kaser, "Strongly universal string hashing is fast", 2014) finished by
the mixer of SplitMix64 (Steele, Lea and Flood, 2014). It detects accidents, careless repairs and bit rot; the chance of missing
one is about 2^-64. It is not a signature: anyone can compute it, so it does not protect against deliberate tampering.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from finance_storage.schemas import FIRST, OTHER_TEXTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Words = NDArray[np.uint64]

# Only what comes from the Kafka record counts, not when the row was stored. So a row that is read from Kafka again keeps its
# digest. `date` follows from `kafka_timestamp`.
UNDIGESTED = frozenset({"ingested_at", "date"})
# A column that was added later counts only where it is not null, so older files keep their digests.
ALWAYS = frozenset(name for fields in FIRST.values() for name in fields.names)
MODULUS = 1 << 64
INT64_DIGITS = 18
MAX_PART_BYTES = 16 * 1024 * 1024


def digest_of(rows: pa.Table | pa.RecordBatch) -> int:
    """Return the digest of rows. Timestamps count in microseconds, decimals in units of their scale; null is a value too."""
    return add([int(row_digests(part).sum(dtype=np.uint64)) for part in _parts(rows)])


def _parts(rows: pa.Table | pa.RecordBatch) -> Iterator[pa.Table | pa.RecordBatch]:
    """Split rows into parts, because long texts are copied for hashing and must not all be copied together."""
    pieces = -(-rows.nbytes // MAX_PART_BYTES) or 1
    length = -(-rows.num_rows // pieces) or 1
    return (rows.slice(start, length) for start in range(0, rows.num_rows, length))


def row_digests(rows: pa.Table | pa.RecordBatch) -> Words:
    """Return the digest of each row, as an array of 64-bit words."""
    combined = np.zeros(rows.num_rows, dtype=np.uint64)
    for name in rows.schema.names:
        if name not in UNDIGESTED:
            words = _column_words(rows.column(name))
            combined += (words if name in ALWAYS else words - _NULL) * _odd_constant(name)
    return _mixed(combined)


def add(digests: Sequence[int]) -> int:
    """Return the digest of the union of disjoint sets of rows."""
    return sum(digests) % MODULUS


def to_text(digest: int) -> str:
    """Format a digest as in commit metadata."""
    return f"{digest:016x}"


def _odd_constant(name: str) -> np.uint64:
    return np.uint64(_hash(name.encode()) | 1)


def _hash(value: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(value, digest_size=8).digest(), "little")


# A word that no integer in these tables has, and no text except with a chance of 2^-64.
_NULL = np.uint64(0x9E3779B97F4A7C15)


def _column_words(column: pa.Array | pa.ChunkedArray) -> Words:
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    words = _words(array)
    if array.null_count:
        words = np.where(pc.is_null(array).to_numpy(zero_copy_only=False), _NULL, words)
    return words


def _words(array: pa.Array) -> Words:
    kind = array.type
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return _text_words(array)
    if kind in OTHER_TEXTS:
        return _text_words(array.cast(OTHER_TEXTS[kind]))
    if pa.types.is_decimal128(kind) and kind.precision <= INT64_DIGITS:
        return _unscaled(array)
    if pa.types.is_timestamp(kind):
        return _integers(array.cast(pa.timestamp("us", kind.tz)).cast(pa.int64()))
    if pa.types.is_integer(kind):
        return _integers(array)
    return _other_words(array)


def _integers(array: pa.Array) -> Words:
    filled = pc.fill_null(array.cast(pa.int64()), 0)
    words: Words = filled.to_numpy().view(np.uint64)
    return words


def _unscaled(array: pa.Array) -> Words:
    # The low word of a decimal128 of up to 18 digits holds the whole value: it fits into 63 bits and a sign.
    words = np.frombuffer(array.buffers()[1], dtype=np.uint64)[::2]
    return words[array.offset : array.offset + len(array)]


def _text_words(array: pa.Array) -> Words:
    # There are few distinct symbols and sources, so each is hashed once.
    encoded = array.dictionary_encode()
    distinct = np.array([_hash(_as_bytes(value)) for value in encoded.dictionary.to_pylist()] or [0], dtype=np.uint64)
    words: Words = distinct[pc.fill_null(encoded.indices, 0).to_numpy()]
    return words


def _other_words(array: pa.Array) -> Words:
    # The job writes no such type; a column that another tool added may have one.
    return np.array([_hash(repr(value).encode()) for value in array.to_pylist()], dtype=np.uint64)


def _as_bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


def _mixed(words: Words) -> Words:
    words ^= words >> np.uint64(30)
    words *= np.uint64(0xBF58476D1CE4E5B9)
    words ^= words >> np.uint64(27)
    words *= np.uint64(0x94D049BB133111EB)
    words ^= words >> np.uint64(31)
    return words
