"""Files of a table's log that are empty, torn or gone.

A commit is not flushed to the disk, so a power cut can leave the newest entry of a log with no content. Spark reads an empty
commit of Delta as a commit without files: rows that were there are gone, without a word.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def damaged_log(table: Path) -> Iterator[str]:
    """Name each file of the table's log that is empty, torn (the newest alone can be) or missing between two others."""
    log = table / "_delta_log"
    entries = sorted(path for path in log.glob("*.json") if path.stem.isdecimal())
    for path in [*entries, *log.glob("*.parquet")]:
        if not path.stat().st_size:
            yield f"{path} is empty"
    if entries and entries[-1].stat().st_size and not all(map(_is_json, entries[-1].read_bytes().splitlines())):
        yield f"{entries[-1]} is torn"
    for before, after in pairwise(int(path.stem) for path in entries):
        if after != before + 1:
            yield f"{log / f'{before + 1:020d}.json'} is missing, {after} is there"


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
