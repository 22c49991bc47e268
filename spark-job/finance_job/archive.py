"""Write an archive of the classes that the job loads, so that later starts map them instead of loading and verifying each.

`python -m finance_job.archive FILE` (the Makefile's `build/spark.jsa`). The JVM uses the archive only with the very Java and
jars that it was made with, and goes on without it otherwise; see docs/adr/0009.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from finance_job.config import Settings
from finance_job.session import start_session
from finance_job.write import Task
from finance_lake.state.layout import QUARANTINE, TICKS, Layout

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def train(spark: SparkSession, layout: Layout) -> None:
    """Run a few micro-batches as the job does: stream and Python worker."""
    task = Task({name: str(layout.table(name)) for name in (TICKS, QUARANTINE)}, 0)
    enough = threading.Event()

    def store(_: DataFrame, batch: int) -> None:
        spark.sparkContext.parallelize([{}], 1).flatMap(lambda _: task.files(iter([]))).collect()
        if batch > 0:
            enough.set()

    spark.readStream.format("kafka").option("kafka.bootstrap.servers", "localhost:9").option("subscribe", "none").load()
    source = spark.readStream.format("rate").load()
    query = source.writeStream.foreachBatch(store).option("checkpointLocation", str(layout.scratch)).start()
    enough.wait(60)
    query.stop()


def main() -> int:
    """Train a session that leaves its archive behind when it ends."""
    archive = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), spark_ui_port=0)
        spark = start_session(settings, f"-XX:ArchiveClassesAtExit={archive}")
        train(spark, Layout(Path(folder)))
        spark.stop()
        gateway = cast("Any", spark.sparkContext._gateway)  # noqa: SLF001 (py4j's bridge is PySpark's own)
        gateway.shutdown()
        gateway.proc.stdin.close()
        gateway.proc.wait(120)
    return 0 if archive.exists() else 1


if __name__ == "__main__":
    sys.exit(main())
