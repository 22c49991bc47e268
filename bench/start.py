"""Measure the time from `make local` to the first row, and the memory of the roles after a minute: `python -m bench.start`.

The environment variable READER selects the job's reader.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from bench.figures import as_line
from bench.machine import memory_mb
from finance_storage.delta_table import open_table, row_count
from tests.support.stack import Stack, free_port, wait_until

ROLES = ("zookeeper", "kafka", "producer", "spark-job")


def start() -> dict[str, Any]:
    """Run all roles in a scratch folder and measure."""
    with tempfile.TemporaryDirectory(prefix="financelake-bench-") as folder:
        stack = Stack(Path(folder), free_port(), free_port(), "finance")
        began = time.monotonic()
        run = stack.run("zookeeper kafka topic-init producer spark-job")
        try:
            ticks = stack.paths.ticks
            wait_until(lambda: open_table(ticks) is not None and row_count(ticks) > 0, 180, "a first row")
            first_row = round(time.monotonic() - began, 1)
            run.wait_for("Running:")
            batches = run.count("batch id=")
            wait_until(lambda: run.count("batch id=") >= batches + 60, 180, "sixty batches")
            memory = {role: memory_mb(run.role_process(role)) for role in ROLES}
        finally:
            run.stop()
            run.kill_everything()
    return {"first_row_seconds": first_row, "memory_mb": {**memory, "total": round(sum(memory.values()), 1)}}


if __name__ == "__main__":
    print(as_line(start()))
