"""Measure `financelake check`: `python -m bench.check [MILLIONS]` (10). Builds a day, seals it, checks it and prints one line.

The day has the rows of bench/verify.py: four partitions, a million rows a batch, written as the job does. `seal_rows_s` is what
the job needs for the manifest, on one core; `check_rows_s` is the command as a process, its start included.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.verify import BATCH, build
from finance_storage.seals import manifest_file
from tests.support.days import FIRST_DAY, Days, after_midnight


def main() -> None:
    """Build and seal the day, check it and print rows per second and peak memory."""
    millions = int(next(iter(sys.argv[1:]), "10"))
    rows = millions * 1_000_000
    with tempfile.TemporaryDirectory(prefix="financelake-bench-") as folder:
        days = Days(build(Path(folder), rows // BATCH))
        started = time.monotonic()
        days.seal(after_midnight(0))
        sealed = time.monotonic() - started
        manifest = manifest_file(days.lake.paths, FIRST_DAY, 1)
        copy = days.lake.paths.ticks / f"date={FIRST_DAY}"
        started = time.monotonic()
        command = [sys.executable, "-m", "finance_lake", "check", os.fspath(copy), "--manifest", os.fspath(manifest)]
        subprocess.run(command, check=True)
        seconds = time.monotonic() - started
    peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(
        f"rows={millions}M seal_seconds={sealed:.1f} seal_rows_s={rows / sealed:,.0f} check_seconds={seconds:.1f} "
        f"check_rows_s={rows / seconds:,.0f} peak_mb={peak_mb:.0f}"
    )


if __name__ == "__main__":
    main()
