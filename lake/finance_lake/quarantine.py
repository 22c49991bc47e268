"""A summary of the quarantine: the number of records by reason, and samples with control characters escaped."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow.compute as pc

from finance_lake.query.newest import newest_first, opened
from finance_lake.query.snapshot import open_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow.parquet as pq

    from finance_storage.paths import LakePaths

SAMPLE_BYTES = 96
COLUMNS = ("reason", "kafka_partition", "kafka_offset", "kafka_timestamp", "ingested_at", "detail", "value", "value_length")


class QuarantineSample(NamedTuple):
    """One quarantined record. `value` is the beginning of its value as printable ASCII with escapes; None for a tombstone."""

    reason: str
    partition: int
    offset: int
    arrived: str
    detail: str
    value: str | None
    value_length: int | None


class Quarantined(NamedTuple):
    """The number of records by reason, most frequent first, and the newest samples of each."""

    counts: dict[str, int]
    samples: list[QuarantineSample]


def quarantined(paths: LakePaths, samples: int) -> Quarantined:
    """Summarize the quarantine with at most `samples` records of each reason, from the newest data files.

    Raises NoLakeError, UnreadableError.
    """
    counts: Counter[str] = Counter()
    by_reason: dict[str, list[QuarantineSample]] = {}
    for file in newest_first(open_snapshot(paths).quarantine):
        with opened(file) as parquet:
            reasons = parquet.read(columns=["reason"]).column("reason")
            counts.update({entry["values"]: entry["counts"] for entry in pc.value_counts(reasons).to_pylist()})
            wanted = {reason for reason in pc.unique(reasons).to_pylist() if len(by_reason.setdefault(reason, [])) < samples}
            for sample in _samples(parquet, wanted):
                if len(by_reason[sample.reason]) < samples:
                    by_reason[sample.reason].append(sample)
    ordered = dict(counts.most_common())
    return Quarantined(ordered, [sample for reason in ordered for sample in by_reason[reason]])


def _samples(file: pq.ParquetFile, reasons: set[str]) -> Iterator[QuarantineSample]:
    if not reasons:
        return
    for batch in file.iter_batches(batch_size=1000, columns=list(COLUMNS)):
        for row in batch.to_pylist():
            if row["reason"] in reasons:
                yield _sample(row)


def _sample(row: dict[str, Any]) -> QuarantineSample:
    return QuarantineSample(
        reason=row["reason"],
        partition=row["kafka_partition"],
        offset=row["kafka_offset"],
        # Without a valid Kafka timestamp, the ingestion time is the best known arrival time.
        arrived=(row["kafka_timestamp"] or row["ingested_at"]).isoformat(timespec="milliseconds"),
        detail=row["detail"],
        value=None if row["value"] is None else printable(row["value"]),
        value_length=row["value_length"],
    )


def printable(value: bytes) -> str:
    """Return bytes as printable ASCII with escapes, cut after SAMPLE_BYTES."""
    text = repr(value[:SAMPLE_BYTES])[2:-1]
    return text + " ..." if len(value) > SAMPLE_BYTES else text
