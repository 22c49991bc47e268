"""Data files by when their records arrived, read without an engine: the job's image has none."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa

from finance_lake.errors import UnreadableError, first_line
from finance_lake.reading.snapshot import EVER
from finance_lake.state.files import parquet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow.parquet as pq

    from finance_lake.reading.snapshot import DataFile


def newest_first(files: Iterable[DataFile]) -> list[DataFile]:
    """Order files by their newest record; one of which that is not known may hold the newest of all."""
    return sorted(files, key=lambda file: file.last_arrival or EVER, reverse=True)


@contextmanager
def opened(file: DataFile) -> Iterator[pq.ParquetFile]:
    """Open a data file. Raises UnreadableError, also for damage that is met while it is read."""
    try:
        with parquet(file.folder, file.name) as found:
            yield found
    except (OSError, pa.ArrowException) as error:
        what = f"{file.folder / file.name} cannot be read: {first_line(error)}"
        raise UnreadableError(f"{what}. `make verify` says what is wrong with the lake.") from None
