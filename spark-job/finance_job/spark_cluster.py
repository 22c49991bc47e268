"""Options of a standalone Spark cluster, for its master, its workers and the job as driver.

The secret is passed in a file only: PySpark puts every option of the builder on the JVM's command line. Spark itself passes it
to executors in their environment, which only the same user can read.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from finance_job.config import secret_of
from finance_role import beneath

if TYPE_CHECKING:
    from finance_job.config import Settings

# Named on the command line (--properties-file). As SPARK_CONF_DIR its folder would be on the class path, and the JVM would not
# use its archive of classes.
CONFIGURATION = "spark.properties"
# With Spark's defaults a frozen worker is missed after one to two minutes. The master looks for silent workers once per
# timeout, so with these it misses one after 8 to 16 s, and a driver whose master is unreachable after 20 to 25 s.
TIMEOUTS = {
    "spark.executor.heartbeatInterval": "4s",
    "spark.network.timeout": "20s",
    "spark.network.timeoutInterval": "5s",
    "spark.worker.timeout": "8",
}
# Connections are authenticated and encrypted.
CLOSED = {"spark.authenticate": "true", "spark.network.crypto.enabled": "true"}
# An executor's temporary files: native libraries, and data that Spark spills. It runs in a folder of its own, below that of its
# worker, and the driver cannot know its path.
ITS_OWN_FOLDER = Path()


def write_secret(folder: Path, file: Path) -> Path:
    """Write the secret in `file` as Spark reads it, to a role's private folder; return the new file's path."""
    configuration = folder / CONFIGURATION
    beneath.write_whole(folder, configuration, f"spark.authenticate.secret {secret_of(file)}\n".encode(), flush=False)
    return configuration


def driver_options(settings: Settings, java_options: str) -> dict[str, str]:
    """Return the driver's options for its executors; `java_options` are those of their JVMs."""
    return {
        **TIMEOUTS,
        **CLOSED,
        "spark.cores.max": str(settings.spark_cores),
        # One core each, so that the cores are spread over the workers. The number of tasks stays when a worker is lost.
        "spark.executor.cores": "1",
        "spark.default.parallelism": str(settings.spark_cores),
        "spark.executor.memory": settings.spark_executor_heap,
        "spark.executor.extraClassPath": f"{settings.spark_jars.resolve()}/*",
        "spark.executor.extraJavaOptions": java_options,
    }
