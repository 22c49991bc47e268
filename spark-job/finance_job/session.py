"""Start the Spark session; the job, the tests and the benchmarks all use this one."""

from __future__ import annotations

import atexit
import shlex
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pyspark
from pyspark.sql import SparkSession

import finance_contract
import finance_job
import finance_kafka
import finance_role
import finance_storage
from finance_job import s3a, worker_daemon
from finance_job.spark_cluster import ITS_OWN_FOLDER, driver_options, write_secret
from finance_role.environment import importing, jvm_options_of_tests, make_scratch, require_execution, settle

if TYPE_CHECKING:
    from finance_job.config import Settings

SCRATCH = "spark-job"
# The JVM ignores an archive that does not match this Java or these jars, without a warning.
QUIET = ("-Xlog:cds=off", "-Xlog:cds+dynamic=off")
LOG_CONFIGURATION = Path(__file__).with_name("log4j2.properties")
# Numbers, times and file names do not depend on the caller's locale and time zone.
LOCALE = ("-Duser.language=en", "-Duser.country=US", "-Duser.timezone=UTC", "-Dfile.encoding=UTF-8")
# The optimising compiler (C2) competes for the same two cores. At four times the default thresholds it skips the rarely used
# half of the code, which saves half the CPU of compiling, a twentieth of the job's.
PATIENT_COMPILER = (
    "-XX:Tier4InvocationThreshold=20000",
    "-XX:Tier4MinInvocationThreshold=10000",
    "-XX:Tier4CompileThreshold=30000",
    "-XX:Tier4BackEdgeThreshold=120000",
)


class SessionEndedError(Exception):
    """Spark has stopped by itself, as it does when the master removes the job. A new session may succeed."""


def java_options(folder: Path, *further: str) -> str:
    """Return the options of a JVM of driver or executor in Spark's notation, each one quoted because of spaces in paths.

    `folder` is for temporary files: native libraries, and data that Spark spills.
    """
    options = (
        # By default the JVM picks its collector by the size of the machine; this makes it the same everywhere. Pauses do not
        # matter to a micro-batch, and with G1's barriers the path of the records takes a third more CPU.
        "-XX:+UseParallelGC",
        *PATIENT_COMPILER,
        "-XX:+ExitOnOutOfMemoryError",
        *LOCALE,
        f"-Djava.io.tmpdir={folder}",
        f"-Dlog4j2.configurationFile={LOG_CONFIGURATION.as_uri()}",
        *jvm_options_of_tests(),
        *further,
    )
    return " ".join(_quoted(option) for option in options)


def _quoted(option: str) -> str:
    return '"' + option.replace("\\", "\\\\").replace('"', '\\"') + '"'


def spark_options(settings: Settings, folder: Path, *further: str) -> dict[str, str]:
    """Return Spark's settings for a small machine; `further` are options of the JVM."""
    return {
        "spark.app.name": "financelake",
        "spark.driver.memory": settings.spark_heap,
        "spark.driver.extraJavaOptions": java_options(folder, *further),
        "spark.driver.extraClassPath": f"{settings.spark_jars.resolve()}/*",
        # The loopback interface, unless executors run on other machines.
        "spark.driver.host": settings.spark_host,
        "spark.driver.bindAddress": settings.spark_host,
        # Any user of the machine can reach the driver's port. Without a cluster the JVM makes the secret itself, with one it
        # reads it from a file, so no command line shows it.
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
        # No table is stored there, but Spark creates the folder, by default in the current directory.
        "spark.sql.warehouse.dir": str(settings.data_dir.resolve() / "run" / "spark-warehouse"),
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        # The defaults of 200 shuffle partitions and 50 snapshot partitions are for clusters; here they cost a second a batch.
        "spark.sql.shuffle.partitions": "1",
        "spark.databricks.delta.snapshotPartitions": "1",
        # A micro-batch's plan has no shuffle to adapt to, and looking for one takes a tenth of the time of a small batch.
        "spark.sql.adaptive.enabled": "false",
        "spark.python.worker.reuse": "true",
        "spark.python.daemon.module": worker_daemon.__name__,
        # Batches for the Python workers are limited by rows. No row is longer than the contract's largest key and value, so
        # that bounds the bytes too. Spark checks a limit in bytes after each row, which takes a sixth of the JVM's CPU.
        "spark.sql.execution.arrow.maxRecordsPerBatch": "500",
        "spark.sql.execution.arrow.maxBytesPerBatch": str(2**31 - 1),
        # Writes checkpoint files by rename, as the default does, but without forking a process for each file.
        "spark.sql.streaming.checkpointFileManagerClass": (
            "org.apache.spark.sql.execution.streaming.checkpointing.FileSystemBasedCheckpointFileManager"
        ),
        "spark.sql.streaming.stopTimeout": "60s",
        **(driver_options(settings, java_options(ITS_OWN_FOLDER)) if settings.spark_master else {}),
        **s3a.options(settings),
    }


def start_session(settings: Settings, *options: str) -> SparkSession:
    """Start the JVM and the session in a fixed environment; the workers use this Python interpreter.

    `options` are further options of the JVM. Raises UnusableScratchError.
    """
    if not options and settings.spark_archive.exists():
        options = (f"-XX:SharedArchiveFile={settings.spark_archive.resolve()}", *QUIET)
    folder = scratch_of(settings.data_dir, SCRATCH)
    settle(settings.data_umask, _environment(settings, folder))
    builder = SparkSession.builder.master(settings.spark_master or f"local[{settings.spark_cores}]")
    for key, value in spark_options(settings, folder, *options).items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def require_running(spark: SparkSession) -> None:
    """Raise SessionEndedError if Spark has stopped by itself."""
    context = cast("Any", spark.sparkContext._jsc)  # noqa: SLF001 (PySpark does not expose it)
    if context is None or context.sc().isStopped():
        raise SessionEndedError("Spark has stopped by itself; its last lines say why")


def scratch_of(data_dir: Path, role: str) -> Path:
    """Return a new private folder for a role's temporary files. Raises UnusableScratchError."""
    if "," not in str(data_dir.resolve()):
        return make_scratch(data_dir, role)
    # Spark treats a comma as a separator between folders.
    folder = Path(tempfile.mkdtemp(prefix="financelake-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    require_execution(folder)
    return folder


def _environment(settings: Settings, folder: Path) -> dict[str, str]:
    return {
        **_with_secret(folder, settings.spark_secret_file),
        **s3a.environment(settings),
        "TMPDIR": str(folder),
        "SPARK_HOME": str(Path(pyspark.__file__).parent),
        # By default Spark's user interface listens on every network interface; only this variable changes it.
        "SPARK_LOCAL_IP": settings.spark_bind,
        "PYSPARK_PYTHON": sys.executable,
        **importing(finance_contract, finance_job, finance_kafka, finance_role, finance_storage),
    }


def _with_secret(folder: Path, file: Path | None) -> dict[str, str]:
    if not file:
        return {}
    return {"PYSPARK_SUBMIT_ARGS": shlex.join(["--properties-file", str(write_secret(folder, file)), "pyspark-shell"])}
