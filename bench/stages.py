"""Measure the CPU time of a tick in a worker, stage by stage, on a real topic: `python -m bench.stages`."""

from __future__ import annotations

import gc
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa

from bench.broker import publish, running_broker
from finance_job.decode import decode_records
from finance_job.decode_fast import decode_batch_fast
from finance_job.records import as_batch, kafka_reader
from finance_job.worker_task import WorkerTask
from finance_kafka.offsets import OffsetRange
from finance_kafka.range_reader import KafkaRangeReader
from finance_storage import digest
from finance_storage.data_file import statistics_of, write_data_file
from finance_storage.paths import QUARANTINE, TICKS
from finance_storage.schemas import STATISTICS, UTC_MICROSECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.stack import Stack

Result = TypeVar("Result")
TICKS_READ = 1_000_000


def stages(stack: Stack, folder: str) -> dict[str, float]:
    """Return CPU microseconds per tick of each stage, including librdkafka's threads."""
    spent: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Result]) -> Result:
        before = time.process_time()
        result = work()
        spent[name] = round((time.process_time() - before) / TICKS_READ * 1e6, 3)
        return result

    ranges = {partition: OffsetRange(0, end) for partition, end in stack.end_offsets().items()}
    ingested_at = pa.scalar(0, UTC_MICROSECONDS)
    reader = KafkaRangeReader(stack.bootstrap, stack.topic)
    gc.disable()
    messages = timed("consume from Kafka", lambda: list(reader.read(ranges)))
    batches = timed("convert to Arrow", lambda: [as_batch(block) for block in messages if block.messages])
    timed("parse and check", lambda: [decode_batch_fast(batch.column("value")) for batch in batches])
    ticks = timed("decode to rows (with parsing)", lambda: [decode_records(batch, ingested_at).ticks for batch in batches])
    rows = pa.concat_tables(ticks)
    timed("digest", lambda: digest.digest_of(rows))
    timed("statistics", lambda: statistics_of(rows, STATISTICS[TICKS]))
    timed("write the file (with digest, statistics)", lambda: write_data_file(rows, TICKS, Path(folder), {}))
    gc.enable()
    task = WorkerTask({name: Path(folder) / name for name in (TICKS, QUARANTINE)}, 0)
    timed("the whole task of a worker", lambda: list(task.files(kafka_reader(stack.bootstrap, stack.topic)(ranges))))
    reader.close()
    return spent


def main() -> None:
    """Measure twice and print the second result."""
    with running_broker() as stack, tempfile.TemporaryDirectory() as folder:
        publish(stack, TICKS_READ)
        stages(stack, folder)
        for name, microseconds in stages(stack, folder).items():
            print(f"{microseconds:6.3f} us  {name}")


if __name__ == "__main__":
    main()
