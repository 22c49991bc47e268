"""Find the quarantine's rows of a batch that ticks lacks, which is the state after a crash between the two commits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from finance_storage.delta_table import add_actions
from finance_storage.files import literal, parquet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deltalake import DeltaTable

    from finance_kafka.offsets import OffsetRange
    from finance_storage.offset_set import Offsets64
    from finance_storage.place import Place

COORDINATES = ["kafka_partition", "kafka_offset"]


def offsets_within(table: DeltaTable, folder: Place, ranges: Mapping[int, OffsetRange]) -> dict[int, Offsets64]:
    """Return the offsets of a table's rows within ranges, sorted, by Kafka partition. Raises OSError, ArrowException."""
    matches: dict[int, list[Offsets64]] = {partition: [np.array([], np.int64)] for partition in ranges}
    start = min((span.start for span in ranges.values()), default=0)
    for entry in add_actions(table).select(["path", "max.kafka_offset"]).to_pylist() if ranges else []:
        if (last := entry["max.kafka_offset"]) is None or last >= start:
            with parquet(folder, literal(entry["path"])) as file:
                rows = file.read(COORDINATES)
            partitions, offsets = (rows.column(name).to_numpy() for name in COORDINATES)
            for partition, span in ranges.items():
                within = (partitions == partition) & (offsets >= span.start) & (offsets < span.end)
                matches[partition].append(offsets[within])
    return {partition: np.unique(np.concatenate(parts)) for partition, parts in matches.items()}
