"""Data files by when their records arrived, read without an engine: the job's image has none."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from finance_lake.errors import UnreadableError, first_line
from finance_lake.reading.snapshot import EVER
from finance_role.paths import by_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from finance_lake.reading.snapshot import DataFile


def newest_first(files: Iterable[DataFile]) -> list[DataFile]:
    """Order files by their newest record; one of which that is not known may hold the newest of all."""
    return sorted(files, key=lambda file: file.last_arrival or EVER, reverse=True)


@contextmanager
def opened(file: DataFile) -> Iterator[pq.ParquetFile]:
    """Open a data file. Raises UnreadableError, also for damage that is met while it is read."""
    try:
        with pq.ParquetFile(file.path) as parquet:
            yield parquet
    except (OSError, pa.ArrowException) as error:
        what = by_name(f"{file.path} cannot be read: {first_line(error)}")
        raise UnreadableError(f"{what}. `make verify` says what is wrong with the lake.") from None
