"""Check values: read the topic again, and compare the row that each record must have become with the stored row.

Records are decoded by the contract's codec, as in the job, but turned into rows by separate code, so that a fault in the job's
code shows. Digests of whole rows are compared, without the `detail` text of quarantined records.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from finance_contract import MAX_VALUE_BYTES, TIMESTAMPS_MS, Malformed, Reason, bad_timestamp, decode, key
from finance_contract.retracted import RETRACTED, retracted_value
from finance_contract.tick import SYMBOL_VERSION_1
from finance_storage import digest
from finance_storage.offset_set import inside
from finance_storage.paths import TICKS
from finance_storage.schemas import FIELDS
from finance_verify.coverage import Spots, first_of, runs
from finance_verify.verdict import Code, Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from finance_kafka.offsets import Offsets
    from finance_kafka.range_reader import Record
    from finance_storage.offset_set import Mask, OffsetSet
    from finance_verify.coverage import Coverage
    from finance_verify.scan import Fingerprints

# All columns of a quarantined record are compared except `detail`, whose wording may change with the Python version.
QUARANTINED = ("kafka_partition", "kafka_offset", "kafka_timestamp", "key", "value", "value_length", "value_sha256", "reason")


class Comparison:
    """Compares records with rows, batch by batch."""

    def __init__(
        self,
        ticks: pa.Schema,
        quarantine: pa.Schema,
        stored: Fingerprints,
        coverage: Mapping[int, tuple[Coverage, Coverage]],
        retracted: OffsetSet | None = None,
    ) -> None:
        """Accept the columns of both tables, the digests of their rows, how often each offset occurs, and retracted offsets."""
        self._retracted = retracted or {}
        known = set(FIELDS[TICKS].names) - digest.UNDIGESTED
        self._ticks = pa.schema([field for field in ticks if field.name in known])
        self._quarantine = pa.schema([quarantine.field(name) for name in QUARANTINED])
        self._stored = stored
        self._stored_at: dict[int, Mask] = {
            partition: (good.times | bad.times) > 0 for partition, (good, bad) in coverage.items()
        }
        self._only_quarantined: dict[int, Mask] = {
            partition: (bad.times > 0) & (good.times == 0) for partition, (good, bad) in coverage.items()
        }
        self._confirmed = {partition: np.zeros(mask.size, dtype=bool) for partition, mask in self._stored_at.items()}
        self.other = Spots()
        self.count = 0

    def add(self, records: Sequence[Record]) -> None:
        """Compare records; their offsets must be in the range that was scanned. Records that no table contains are ignored."""
        self.count += len(records)
        for rows in as_rows(records, self._ticks, self._quarantine, self._retracted, self._is_only_quarantined):
            partitions, offsets = (rows.column(name).to_numpy() for name in ("kafka_partition", "kafka_offset"))
            digests = digest.row_digests(rows)
            for partition in np.unique(partitions).tolist():
                in_partition = partitions == partition
                self._compare(partition, offsets[in_partition], digests[in_partition])

    def _is_only_quarantined(self, record: Record) -> bool:
        place = record.offset - self._stored.scope[record.partition].start
        return bool(self._only_quarantined[record.partition][place])

    def _compare(self, partition: int, offsets: np.ndarray, digests: np.ndarray) -> None:
        places = offsets - self._stored.scope[partition].start
        self._confirmed[partition][places] = True
        wrong = self._stored_at[partition][places] & (self._stored.of[partition][places] != digests)
        self.other.add(np.full(np.count_nonzero(wrong), partition), offsets[wrong])

    def findings(self, earliest: Offsets, ends: Offsets) -> Iterator[Finding]:
        """Yield the findings.

        `earliest` is the first offset that the topic still has, by partition, queried after reading it. `ends` is the offset up
        to which it was read; rows beyond it were stored in the meantime.
        """
        if self.other.count:
            what = f"{self.other.count:,} rows differ from the topic's records at their offsets"
            yield Finding(Code.ALTERED, what, self.other.places())
        invented = {
            partition: self._unconfirmed(partition, earliest.get(partition, self._stored.scope[partition].end), ends)
            for partition in self._stored_at
        }
        if count := sum(int(np.count_nonzero(mask)) for mask in invented.values()):
            starts = {partition: span.start for partition, span in self._stored.scope.items()}
            places = first_of({partition: runs(mask, starts[partition]) for partition, mask in invented.items()})
            yield Finding(Code.ALTERED, f"{count:,} rows are at offsets where the topic has no record", places)

    def _unconfirmed(self, partition: int, earliest: int, ends: Offsets) -> Mask:
        unconfirmed = self._stored_at[partition] & ~self._confirmed[partition]
        start = self._stored.scope[partition].start
        unconfirmed[: max(0, earliest - start)] = False
        unconfirmed[max(0, ends.get(partition, start) - start) :] = False
        return unconfirmed


def as_rows(
    records: Sequence[Record],
    ticks: pa.Schema,
    quarantine: pa.Schema,
    retracted: OffsetSet | None = None,
    quarantined: Callable[[Record], bool] = lambda _: False,
) -> Iterator[pa.Table]:
    """Yield the rows that records must have become: first those of ticks, then of the quarantine, with the given columns.

    A record whose symbol only version 2 of the contract accepts may also be `quarantined`, by a job of version 1.
    """
    good, bad = list[dict[str, Any]](), list[dict[str, Any]]()
    for record, is_retracted in zip(records, _mask(records, retracted or {}), strict=True):
        try:
            tick = _tick(record)
            if record.timestamp_ms not in TIMESTAMPS_MS:
                raise bad_timestamp(record.timestamp_ms)
            if is_retracted:
                bad.append(_retracted(record))
            elif not SYMBOL_VERSION_1.fullmatch(tick["symbol"]) and quarantined(record):
                bad.append(_quarantined(record, Reason.SYMBOL_INVALID.value))
            else:
                good.append(tick)
        except Malformed as fault:
            bad.append(_quarantined(record, str(fault.reason)))
    yield pa.Table.from_pylist(good, ticks)
    yield pa.Table.from_pylist(bad, quarantine)


def _mask(records: Sequence[Record], places: OffsetSet) -> list[bool]:
    partitions, offsets = (
        np.array([getattr(record, name) for record in records], np.int64) for name in ("partition", "offset")
    )
    return list(inside(places, partitions, offsets).tolist())


def _retracted(record: Record) -> dict[str, Any]:
    tick = decode(record.value)
    value = retracted_value(tick)
    row = _quarantined(record, RETRACTED)
    return row | {
        "key": key(tick.symbol),
        "value": value,
        "value_length": len(value),
        "value_sha256": hashlib.sha256(value).hexdigest(),
    }


def _coordinates(record: Record) -> dict[str, Any]:
    return {
        "kafka_partition": record.partition,
        "kafka_offset": record.offset,
        "kafka_timestamp": record.timestamp_ms * 1000 if record.timestamp_ms in TIMESTAMPS_MS else None,
    }


def _tick(record: Record) -> dict[str, Any]:
    tick = decode(record.value)
    microseconds, nanos = divmod(tick.ts_event, 1000) if tick.ts_event is not None else (record.timestamp_ms * 1000, None)
    return {
        "symbol": tick.symbol,
        "price": tick.price,
        "size": tick.size,
        "ts_event": microseconds,
        "ts_event_nanos": nanos,
        "seq": tick.seq,
        "source": tick.source,
        **_coordinates(record),
    }


def _quarantined(record: Record, reason: str) -> dict[str, Any]:
    value = record.value
    return {
        **_coordinates(record),
        "key": record.key and record.key[:MAX_VALUE_BYTES],
        "value": value and value[:MAX_VALUE_BYTES],
        "value_length": None if value is None else len(value),
        "value_sha256": None if value is None else hashlib.sha256(value).hexdigest(),
        "reason": reason,
    }
