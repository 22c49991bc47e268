"""Export to Parquet, CSV and Arrow files. A file is written under a temporary name, synced, and then renamed."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from finance_role.beneath import sync_folder
from finance_role.text import FORMULA
from finance_storage.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

# The regular expression behind `finance_role.text.inert`, for a whole column.
TEXT_OF_A_FORMULA = f"({FORMULA})"
WRITERS: dict[str, Callable[[Any, pa.Schema], Any]] = {
    ".parquet": lambda file, schema: pq.ParquetWriter(file, schema, compression="zstd"),
    ".csv": pyarrow.csv.CSVWriter,
    ".arrow": pa.ipc.new_file,
}


def write(
    target: Path,
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    *,
    force: bool = False,
    advance: Callable[[int], object] = lambda _: None,
) -> int:
    """Write rows to a file and return their number.

    Raises RequestError if the file cannot be written, or exists and `force` is not set.
    """
    if target.suffix not in WRITERS:
        raise RequestError(f"{target.name!r} has no known file type: use the ending .parquet, .csv or .arrow.")
    if target.is_dir():
        raise RequestError(f"{target} is a folder: name a file in it.")
    rows = 0
    try:
        with _whole(target, force=force) as file, WRITERS[target.suffix](file, schema) as writer:
            for batch in batches:
                writer.write_batch(_inert(batch) if target.suffix == ".csv" else batch)
                rows += batch.num_rows
                advance(batch.num_rows)
    except FileExistsError:
        raise RequestError(f"{target} already exists: --force replaces it.") from None
    except OSError as error:
        raise RequestError(f"{target} cannot be written: {error.strerror or error}.") from None
    return rows


def _inert(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Prefix an apostrophe to text that a spreadsheet would run as a formula."""
    for place, field in enumerate(batch.schema):
        if pa.types.is_string(field.type):
            batch = batch.set_column(place, field, pc.replace_substring_regex(batch.column(place), TEXT_OF_A_FORMULA, r"'\1"))
    return batch


@contextmanager
def _whole(target: Path, *, force: bool) -> Iterator[Any]:
    if not force and os.path.lexists(target):
        raise FileExistsError
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with beside.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if force:
            beside.replace(target)
        else:
            os.link(beside, target)  # fails if another process has created the file meanwhile
    finally:
        beside.unlink(missing_ok=True)
        sync_folder(target.absolute().parent)
