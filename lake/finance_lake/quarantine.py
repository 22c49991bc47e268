"""The quarantine, for people: how many records of each reason, and samples, with nothing in them that a terminal obeys."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow.compute as pc

from finance_lake.query.newest import newest_first, opened
from finance_lake.query.snapshot import take

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow.parquet as pq

    from finance_storage.paths import LakePaths

SAMPLE_BYTES = 96
COLUMNS = ("reason", "kafka_partition", "kafka_offset", "kafka_timestamp", "ingested_at", "detail", "value", "value_length")


class Sample(NamedTuple):
    """One quarantined record; `value` is its beginning, printable ASCII and escapes alone, None for a tombstone."""

    reason: str
    partition: int
    offset: int
    arrived: str
    detail: str
    value: str | None
    value_length: int | None


class Quarantined(NamedTuple):
    """What the quarantine holds: records by reason, the most frequent first, and the newest samples of each."""

    counts: dict[str, int]
    samples: list[Sample]


def quarantined(paths: LakePaths, samples: int) -> Quarantined:
    """Read the quarantine, the newest data file first; at most `samples` of each reason.

    Raises NoLakeError, UnreadableError.
    """
    counts: Counter[str] = Counter()
    taken: dict[str, list[Sample]] = {}
    for file in newest_first(take(paths).quarantine):
        with opened(file) as parquet:
            reasons = parquet.read(columns=["reason"]).column("reason")
            counts.update({one["values"]: one["counts"] for one in pc.value_counts(reasons).to_pylist()})
            wanted = {reason for reason in pc.unique(reasons).to_pylist() if len(taken.setdefault(reason, [])) < samples}
            for sample in _samples(parquet, wanted):
                if len(taken[sample.reason]) < samples:
                    taken[sample.reason].append(sample)
    ordered = dict(counts.most_common())
    return Quarantined(ordered, [sample for reason in ordered for sample in taken[reason]])


def _samples(file: pq.ParquetFile, reasons: set[str]) -> Iterator[Sample]:
    if not reasons:
        return
    for batch in file.iter_batches(batch_size=1000, columns=list(COLUMNS)):
        for row in batch.to_pylist():
            if row["reason"] in reasons:
                yield _sample(row)


def _sample(row: dict[str, Any]) -> Sample:
    return Sample(
        reason=row["reason"],
        partition=row["kafka_partition"],
        offset=row["kafka_offset"],
        # A record whose timestamp is no time arrived when the lake took it in, as far as is known.
        arrived=(row["kafka_timestamp"] or row["ingested_at"]).isoformat(timespec="milliseconds"),
        detail=row["detail"],
        value=None if row["value"] is None else printable(row["value"]),
        value_length=row["value_length"],
    )


def printable(value: bytes) -> str:
    """Show bytes as printable ASCII, all else as escapes; cut where it gets long."""
    shown = repr(value[:SAMPLE_BYTES])[2:-1]
    return shown + " ..." if len(value) > SAMPLE_BYTES else shown
