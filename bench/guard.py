"""Measure the start-up guard on a lake with many commits: `python -m bench.guard [COMMITS]` (1000)."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from finance_job.guard import open_lake
from tests.support.lakes import BAD, GOOD, TOPIC, BuiltLake


def main() -> None:
    """Build a lake, run the guard three times and print the milliseconds of each run."""
    commits = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory() as folder:
        lake = BuiltLake(Path(folder))
        for _ in range(commits):
            lake.store([GOOD, BAD])
        for _ in range(3):
            started = time.monotonic()
            open_lake(lake.paths, TOPIC, lake.broker)
            print(f"{commits} commits: {1000 * (time.monotonic() - started):.0f} ms")


if __name__ == "__main__":
    main()
