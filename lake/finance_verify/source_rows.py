"""Count the numbers of one source in the table of ticks: each must be there once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from finance_storage.delta_table import add_actions, open_table
from finance_storage.files import literal, parquet
from finance_verify.sequences import NumberCounts

if TYPE_CHECKING:
    import pyarrow.parquet as pq

    from finance_storage.ledger import Range
    from finance_storage.paths import LakePaths

BATCH_ROWS = 100_000
# A number needs a byte; a source with more ticks than this is counted in part.
MAX_NUMBERS = 1 << 31


def data_files(paths: LakePaths) -> dict[str, int]:
    """Return size in bytes of the table's data files, by path; empty if there is no table."""
    table = open_table(paths.ticks)
    if table is None:
        return {}
    actions = add_actions(table)
    return dict(zip(actions.column("path").to_pylist(), actions.column("size_bytes").to_pylist(), strict=True))


def numbers_of(paths: LakePaths, source: str, end: int, without: dict[str, int] | None = None) -> NumberCounts:
    """Count the numbers of a source, most of them below `end`, in all data files but those in `without`.

    Raises OSError and pyarrow's errors for a file that cannot be read.
    """
    counts = NumberCounts(min(end, MAX_NUMBERS))
    for path, size in data_files(paths).items():
        if without and path in without:
            continue
        with parquet(paths.ticks, literal(path), size) as file:
            if not _may_have(file, source):
                continue
            for batch in file.iter_batches(BATCH_ROWS, columns=["source", "seq"]):
                own = pc.fill_null(pc.equal(batch.column("source"), source), False)  # noqa: FBT003
                numbers = batch.column("seq").filter(own).drop_null()
                if len(numbers):
                    counts.add(numbers.to_numpy().astype(np.int64))
    return counts


def _may_have(file: pq.ParquetFile, source: str) -> bool:
    """Whether the statistics of a file's row groups allow a source in it."""
    column = file.schema_arrow.get_field_index("source")
    if column < 0:
        return False
    for group in range(file.metadata.num_row_groups):
        statistics = file.metadata.row_group(group).column(column).statistics
        if statistics is None or not statistics.has_min_max or str(statistics.min) <= source <= str(statistics.max):
            return True
    return False


def ranges_of(counts: NumberCounts) -> list[Range]:
    """Return the numbers that were counted, as ranges with both ends."""
    seen = counts.numbers
    if not seen.size:
        return []
    cuts = np.flatnonzero(np.diff(seen) != 1)
    starts, ends = np.append(seen[0], seen[cuts + 1]), np.append(seen[cuts], seen[-1])
    return [(int(first), int(last)) for first, last in zip(starts, ends, strict=True)]
