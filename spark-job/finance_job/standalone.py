"""Run the master or a worker of a standalone Spark cluster: `python -m finance_job.standalone spark-master|spark-worker-N`.

This process becomes the JVM. Exit codes before that: 2 wrong settings, 78 the role already runs on this data folder.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pyspark
from pydantic import Field

import finance_contract
import finance_job
import finance_kafka
import finance_role
import finance_storage
from finance_job import spark_cluster
from finance_job.config import STANDALONE, SparkSettings
from finance_job.failpoint import arm
from finance_job.session import LOCALE, LOG_CONFIGURATION, scratch_of
from finance_role import beneath
from finance_role.environment import composed, importing, java_home, jvm_options_of_tests
from finance_role.exit_codes import USAGE
from finance_role.lock import hold_or_exit
from finance_role.settings import begin_role

MASTER = "spark-master"
HEAP = "192m"
ROLE = re.compile(rf"{MASTER}|spark-worker-[1-9][0-9]*")


class StandaloneSettings(SparkSettings):
    """The keys that master and workers read; the master's address and the secret have no default."""

    spark_master: str = Field("", pattern=STANDALONE, min_length=1, validate_default=True)
    spark_secret_file: Path = Field(Path(), validate_default=True)


def recovery_folder(data_dir: Path) -> Path:
    """Return the folder where the master keeps its applications and workers, for the next master after a kill."""
    return data_dir / "run" / "spark-master"


def options_of(settings: StandaloneSettings) -> dict[str, str]:
    """Return the options of master and workers; each reads its own."""
    return {
        **spark_cluster.TIMEOUTS,
        **spark_cluster.CLOSED,
        "spark.ui.killEnabled": "false",
        "spark.deploy.recoveryMode": "FILESYSTEM",
        "spark.deploy.recoveryDirectory": str(recovery_folder(settings.data_dir.resolve())),
        "spark.worker.cleanup.enabled": "true",
        "spark.worker.cleanup.interval": "600",
        "spark.worker.cleanup.appDataTtl": "3600",
    }


def command_of(role: str, settings: StandaloneSettings, folder: Path, configuration: Path) -> list[str]:
    """Return the JVM's command; `folder` is for its temporary files."""
    home = java_home()
    java = str(home / "bin" / "java") if home else "java"
    _, _, port = settings.spark_master.partition(",")[0].rpartition(":")
    common = (
        "--host",
        settings.spark_host,
        "--webui-port",
        str(settings.spark_ui_port),
        "--properties-file",
        str(configuration),
    )
    own = (
        ["org.apache.spark.deploy.master.Master", "--port", port, *common]
        if role == MASTER
        else [
            "org.apache.spark.deploy.worker.Worker",
            # Room for all executors of a driver: when a worker is lost they move to another one, and a frozen driver, which
            # keeps its executors, does not keep the next driver from its own.
            *("--cores", str(settings.spark_cores), "--memory", _times(settings.spark_executor_heap, settings.spark_cores)),
            *("--work-dir", str(folder / "work")),
            *common,
            settings.spark_master,
        ]
    )
    return [
        java,
        f"-Xmx{HEAP}",
        *("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+ExitOnOutOfMemoryError"),
        *LOCALE,
        f"-Djava.io.tmpdir={folder}",
        f"-Dlog4j2.configurationFile={LOG_CONFIGURATION.as_uri()}",
        *(f"-D{key}={value}" for key, value in options_of(settings).items()),
        *jvm_options_of_tests(),
        *("-cp", f"{Path(pyspark.__file__).parent}/jars/*"),
        *own,
    ]


def environment_of(settings: StandaloneSettings, folder: Path) -> dict[str, str]:
    """Return the JVM's environment, which a worker passes on to its executors and they to their Python workers."""
    return composed(
        {
            "TMPDIR": str(folder),
            "SPARK_HOME": str(Path(pyspark.__file__).parent),
            "SPARK_SCALA_VERSION": "2.13",  # the wheel lacks the file from which Spark would read it
            "SPARK_LOCAL_IP": settings.spark_bind,
            "SPARK_LOCAL_DIRS": str(folder),
            **importing(finance_contract, finance_job, finance_kafka, finance_role, finance_storage),
        },
        settings=False,
    )


def _times(heap: str, factor: int) -> str:
    return f"{int(heap[:-1]) * factor}{heap[-1]}"


def main() -> None:
    """Become the JVM of the role that the command line names."""
    role = sys.argv[1] if len(sys.argv) > 1 else ""
    if not ROLE.fullmatch(role):
        sys.stderr.write(f"usage: python -m finance_job.standalone {MASTER}|spark-worker-N\n")
        sys.exit(USAGE)
    arm()
    settings = begin_role(StandaloneSettings)
    lock = hold_or_exit(settings.data_dir, role)
    os.set_inheritable(lock.fileno(), True)  # noqa: FBT003 (its only argument)
    folder = scratch_of(settings.data_dir, role)
    beneath.make_folder(settings.data_dir.resolve(), recovery_folder(settings.data_dir.resolve()), 0o700)
    configuration = spark_cluster.write_secret(folder, settings.spark_secret_file)
    command = command_of(role, settings, folder, configuration)
    os.execvpe(command[0], command, environment_of(settings, folder))  # noqa: S606 (no shell is wanted)


if __name__ == "__main__":
    main()
