"""The Spark session, the only one that job, tests and benchmarks make."""

from __future__ import annotations

import atexit
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pyspark
from pyspark.sql import SparkSession

import finance_contract
import finance_job
import finance_kafka
import finance_role
import finance_storage
from finance_role.environment import importing, make_scratch, require_execution, settle

if TYPE_CHECKING:
    from finance_job.config import Settings

SCRATCH = "spark-job"
# An archive that does not fit this Java or these jars is passed over, without a word.
QUIET = ("-Xlog:cds=off", "-Xlog:cds+dynamic=off")
LOG_CONFIGURATION = Path(__file__).with_name("log4j2.properties")
# Numbers, times and file names are the same whatever the caller's language and clock.
LOCALE = ("-Duser.language=en", "-Duser.country=US", "-Duser.timezone=UTC", "-Dfile.encoding=UTF-8")
# The optimising compiler (C2) takes what it compiles from the same two cores. At four times the usual thresholds it leaves the
# rarely used half alone: half the CPU of compiling, a twentieth of the job's.
PATIENT_COMPILER = (
    "-XX:Tier4InvocationThreshold=20000",
    "-XX:Tier4MinInvocationThreshold=10000",
    "-XX:Tier4CompileThreshold=30000",
    "-XX:Tier4BackEdgeThreshold=120000",
)


def java_options(folder: Path, *further: str) -> str:
    """Return the JVM's options, in Spark's notation: each one quoted, since a path may hold spaces.

    `folder` is for its temporary files: native libraries, and what Spark spills.
    """
    options = (
        # The JVM picks its collector by the size of the machine; a name keeps it the same everywhere. A micro-batch has no
        # pauses to fear, and G1's barriers cost the path of the records a third more CPU.
        "-XX:+UseParallelGC",
        *PATIENT_COMPILER,
        "-XX:+ExitOnOutOfMemoryError",
        *LOCALE,
        f"-Djava.io.tmpdir={folder}",
        f"-Dlog4j2.configurationFile={LOG_CONFIGURATION.as_uri()}",
        *further,
    )
    return " ".join(_quoted(option) for option in options)


def _quoted(option: str) -> str:
    return '"' + option.replace("\\", "\\\\").replace('"', '\\"') + '"'


def spark_options(settings: Settings, folder: Path, *further: str) -> dict[str, str]:
    """Return Spark's settings for a small machine, each of them a decision; `further` are options of the JVM."""
    return {
        "spark.app.name": "financelake",
        "spark.driver.memory": settings.spark_heap,
        "spark.driver.extraJavaOptions": java_options(folder, *further),
        "spark.driver.extraClassPath": f"{settings.spark_jars.resolve()}/*",
        # Driver and workers are one machine: nothing of theirs listens beyond the loopback interface.
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        # Any user of the machine can reach the driver's port. The JVM makes the secret itself: no command line ever has it.
        "spark.authenticate": "true",
        "spark.hadoop.fs.permissions.umask-mode": settings.data_umask,
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


def start_session(settings: Settings, *options: str) -> SparkSession:
    """Start the JVM and the session, with an environment of our own; the workers run the interpreter that runs this.

    Raises UnusableScratchError.
    """
    if not options and settings.spark_archive.exists():
        options = (f"-XX:SharedArchiveFile={settings.spark_archive.resolve()}", *QUIET)
    folder = _scratch(settings.data_dir)
    settle(settings.data_umask, _environment(settings, folder))
    builder = SparkSession.builder.master(f"local[{settings.spark_cores}]")
    for key, value in spark_options(settings, folder, *options).items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def _scratch(data_dir: Path) -> Path:
    if "," not in str(data_dir.resolve()):
        return make_scratch(data_dir, SCRATCH)
    # Spark reads a comma as the end of one folder and the beginning of another.
    folder = Path(tempfile.mkdtemp(prefix="financelake-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    require_execution(folder)
    return folder


def _environment(settings: Settings, folder: Path) -> dict[str, str]:
    return {
        "TMPDIR": str(folder),
        "SPARK_HOME": str(Path(pyspark.__file__).parent),
        # Spark's user interface listens on every interface unless it is told otherwise, and is told only in this way.
        "SPARK_LOCAL_IP": settings.spark_bind,
        "PYSPARK_PYTHON": sys.executable,
        **importing(finance_contract, finance_job, finance_kafka, finance_role, finance_storage),
    }
