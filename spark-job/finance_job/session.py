"""The Spark session, the only one that job, tests and benchmarks make."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pyspark.sql import SparkSession

if TYPE_CHECKING:
    from finance_job.config import Settings

# An archive that does not fit this Java or these jars is passed over, without a word.
QUIET = "-Xlog:cds=off -Xlog:cds+dynamic=off"
LOG_CONFIGURATION = Path(__file__).with_name("log4j2.properties")


def spark_options(settings: Settings, java_options: str) -> dict[str, str]:
    """Return Spark's settings for a small machine, each of them a decision."""
    return {
        "spark.app.name": "financelake",
        "spark.driver.memory": settings.spark_heap,
        # The JVM picks its collector by the size of the machine; a name keeps it the same everywhere. A micro-batch has no
        # pauses to fear, and G1's barriers cost the path of the records a third more CPU.
        "spark.driver.extraJavaOptions": (
            f"-XX:+UseParallelGC -XX:+ExitOnOutOfMemoryError -Dlog4j2.configurationFile=file:{LOG_CONFIGURATION} {java_options}"
        ),
        "spark.driver.extraClassPath": f"{settings.spark_jars.resolve()}/*",
        # Driver and workers are one machine: nothing of theirs listens beyond the loopback interface.
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": str(settings.spark_ui_port > 0).lower(),
        "spark.ui.port": str(settings.spark_ui_port),
        "spark.ui.killEnabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.ui.retainedJobs": "50",
        "spark.ui.retainedStages": "50",
        "spark.sql.ui.retainedExecutions": "20",
        "spark.sql.session.timeZone": "UTC",
        # No table is stored there, but Spark makes the folder: not where the command happens to run.
        "spark.sql.warehouse.dir": str(settings.data_dir.resolve() / "run" / "spark-warehouse"),
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        # The defaults of 200 shuffle partitions and 50 snapshot partitions are for clusters: a second a batch here.
        "spark.sql.shuffle.partitions": "1",
        "spark.databricks.delta.snapshotPartitions": "1",
        # The plans of a micro-batch have no shuffle that could be adapted to; to look for one takes a tenth of a small batch.
        "spark.sql.adaptive.enabled": "false",
        "spark.python.worker.reuse": "true",
        # Records go to the Python workers in batches of so many rows, none of them longer than the contract's largest value
        # and key: that bounds them in bytes. The limit in bytes is looked at after each row, for a sixth of the JVM's CPU.
        "spark.sql.execution.arrow.maxRecordsPerBatch": "500",
        "spark.sql.execution.arrow.maxBytesPerBatch": str(2**31 - 1),
        # Writes to the checkpoint by rename, as the default does, without forking a process for each file.
        "spark.sql.streaming.checkpointFileManagerClass": (
            "org.apache.spark.sql.execution.streaming.checkpointing.FileSystemBasedCheckpointFileManager"
        ),
        "spark.sql.streaming.stopTimeout": "60s",
    }


def start_session(settings: Settings, java_options: str = "") -> SparkSession:
    """Start the JVM and the session; the workers run the interpreter that runs this."""
    if not java_options and settings.spark_archive.exists():
        java_options = f"-XX:SharedArchiveFile={settings.spark_archive.resolve()} {QUIET}"
    os.environ["PYSPARK_PYTHON"] = sys.executable
    # Spark's user interface listens on every interface unless it is told otherwise, and is told only in this way.
    os.environ["SPARK_LOCAL_IP"] = settings.spark_bind
    builder = SparkSession.builder.master(f"local[{settings.spark_cores}]")
    for key, value in spark_options(settings, java_options).items():
        builder = builder.config(key, value)
    return builder.getOrCreate()
