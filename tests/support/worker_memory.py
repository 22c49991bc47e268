"""Print by how many MB a worker grows while it processes long malformed records from one of the readers.

python -m tests.support.worker_memory spark RECORDS
python -m tests.support.worker_memory direct RECORDS BOOTSTRAP
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from finance_contract import MAX_VALUE_BYTES
from finance_job.records import RECORD_FIELDS, in_steps, kafka_reader
from finance_job.worker_task import WorkerTask
from finance_kafka.offsets import OffsetRange
from finance_storage.paths import QUARANTINE, TICKS

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORDS_PER_BATCH = 500  # spark.sql.execution.arrow.maxRecordsPerBatch
MAX_GROWTH_MB = 400
ROOT = Path(__file__).parents[2]
ARRIVED = datetime(2026, 11, 24, 12, tzinfo=UTC)


def growth_mb(*arguments: object) -> float:
    """Run this module in a separate process; return the number that it prints."""
    command = [sys.executable, "-m", "tests.support.worker_memory", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


def from_spark(records: int) -> Iterator[pa.RecordBatch]:
    """Make batches as Spark sends them."""
    for start in range(0, records, RECORDS_PER_BATCH):
        rows = [
            {"value": os.urandom(MAX_VALUE_BYTES), "partition": 0, "offset": offset, "timestamp": ARRIVED}
            for offset in range(start, start + RECORDS_PER_BATCH)
        ]
        yield pa.RecordBatch.from_pylist(rows, RECORD_FIELDS)


def peak_mb() -> float:
    """Return the peak resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Write the records to data files in a temporary folder, and print the growth."""
    reader, records = sys.argv[1], int(sys.argv[2])
    if reader == "spark":
        batches = in_steps(from_spark(records))
    else:
        batches = kafka_reader(sys.argv[3], sys.argv[4])({0: OffsetRange(0, records)})
    with tempfile.TemporaryDirectory() as folder:
        before = peak_mb()
        files = list(WorkerTask({table: Path(folder) / table for table in (TICKS, QUARANTINE)}, 0).files(batches))
        assert sum(sum(file.rows.values()) for file in files) == records
        print(peak_mb() - before)


if __name__ == "__main__":
    main()
