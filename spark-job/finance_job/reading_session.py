"""Start a Spark session for research, which reads the lake's Delta tables and changes nothing of the caller's environment."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pyspark.sql import SparkSession

from finance_job.config import Settings
from finance_job.session import spark_options

if TYPE_CHECKING:
    from os import PathLike

# What the job's small batches need differs from what queries over a whole table need.
FOR_QUERIES = {
    "spark.app.name": "financelake-research",
    "spark.sql.adaptive.enabled": "true",
    "spark.sql.shuffle.partitions": "8",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "10000",
    # The caller's Python workers may run a Python that does not have this package.
    "spark.python.daemon.module": "pyspark.daemon",
}


def reading_session(jars: str | PathLike[str] = "build/jars/spark", *, heap: str = "1g") -> SparkSession:
    """Return a session on all cores of this machine, in UTC, with Delta's jars: those of the folder `jars`.

    It listens on the loopback interface only. An existing session of the process is returned as it is. `heap` is the memory of
    the JVM. Raises FileNotFoundError if the folder does not have the jars.
    """
    if not any(Path(jars).glob("delta-spark*.jar")):
        raise FileNotFoundError(
            f"{jars} has no jars of Delta: pass the folder build/jars/spark of a checkout in which `make local` has run."
        )
    folder = Path(tempfile.mkdtemp(prefix="financelake-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    settings = Settings(spark_jars=Path(jars), spark_heap=heap, spark_ui_port=0, spark_master="", data_dir=folder)
    builder = SparkSession.builder.master("local[*]")
    for key, value in (spark_options(settings, folder) | FOR_QUERIES).items():
        builder = builder.config(key, value)
    return builder.getOrCreate()
