"""The job's Spark session: independent of the caller's environment, and with an authenticated driver."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pyspark
import pytest
from py4j.protocol import Py4JJavaError

from finance_job.config import Settings
from tests.support.stack import SHORT_LIVED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

ROOT = Path(__file__).parents[2]
# Settings that would break the start, number formats, file names or the workers; none that affect this Python itself.
HOSTILE = {
    "JAVA_TOOL_OPTIONS": "-Duser.language=ar -Duser.country=EG -Duser.timezone=Asia/Kathmandu -Djava.io.tmpdir=/nowhere",
    "_JAVA_OPTIONS": "-Dfile.encoding=ISO-8859-6",
    "JDK_JAVA_OPTIONS": "-Xbogus",
    "JAVA_HOME": "/opt/java-that-was-removed",
    "SPARK_HOME": "/opt/spark-3.2",
    "SPARK_LOCAL_DIRS": "/nowhere",
    "SPARK_SUBMIT_OPTS": "-Xbogus",
    "PYSPARK_SUBMIT_ARGS": "--bogus",
    "PYSPARK_PYTHON": "/usr/bin/python2",
    "HADOOP_CONF_DIR": "/nowhere",
    "LANG": "ar_EG.UTF-8",
    "LC_ALL": "ar_EG.UTF-8",
    "TZ": "Asia/Kathmandu",
}
REPORT = """
import os
from pathlib import Path
from finance_job.config import Settings
from finance_job.session import start_session

spark = start_session(Settings(spark_ui_port=0, data_dir=Path({folder!r})))
java = spark.sparkContext._jvm.java
names = ("user.language", "user.timezone", "file.encoding", "sun.jnu.encoding", "java.io.tmpdir")
print("REPORT", *map(java.lang.System.getProperty, names))
print("REPORT", java.text.NumberFormat.getInstance().format(1234.5), java.util.TimeZone.getDefault().getID())

def worker(_):
    import finance_job
    Path({folder!r}, "made").touch()
    import pyspark
    yield sorted(os.environ), pyspark.__file__

environment, pyspark = spark.sparkContext.parallelize([0], 1).mapPartitions(worker).collect()[0]
print("REPORT", environment)
print("REPORT", pyspark)
spark.stop()
"""


@pytest.mark.parametrize("name", ["plain", 'a space, "quotes" and a comma'])
def test_the_jvm_and_its_workers_ignore_the_callers_environment(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    code = REPORT.format(folder=str(folder))
    process = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **HOSTILE, "JVM_OF_TESTS": SHORT_LIVED},
        capture_output=True,
        text=True,
    )
    report = [line.removeprefix("REPORT ") for line in process.stdout.splitlines() if line.startswith("REPORT ")]
    assert len(report) == 4, process.stderr[-2000:]
    language, zone, encoding, names, scratch = report[0].split(" ", 4)
    assert (language, zone, encoding, names) == ("en", "UTC", "UTF-8", "UTF-8")
    assert scratch == str(folder / "run" / "tmp" / "spark-job") if name == "plain" else "," not in scratch
    assert report[1] == "1,234.5 UTC"
    assert not {"JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "HADOOP_CONF_DIR", "PYSPARK_SUBMIT_ARGS", "SPARK_SUBMIT_OPTS"} & set(
        report[2].strip("[]").replace("'", "").split(", ")
    )
    assert report[3] == pyspark.__file__, "the workers compile Spark's copy of PySpark"
    assert (folder / "made").stat().st_mode & 0o777 == 0o640
    assert [path.name for path in tmp_path.iterdir()] == [name]


def java_of(spark: SparkSession) -> Any:  # noqa: ANN401 (py4j's bridge has no types)
    return spark.sparkContext._jvm.org.apache.spark  # type: ignore[union-attr]  # noqa: SLF001 (PySpark's own way to Java)


def driver_answers(spark: SparkSession, *, authenticated: bool) -> bool:
    """Return whether the driver answers another RPC endpoint, with or without the secret."""
    java = java_of(spark)
    nothing, yes, no = java.SparkEnv.get().conf().getOption("no.such.key"), True, False
    conf = java.SparkConf(no).set("spark.rpc.lookupTimeout", "5s").set("spark.app.id", "stranger")
    conf.set("spark.authenticate", str(authenticated).lower())
    secret_file = getattr(getattr(java.internal.config, "package$"), "MODULE$").AUTH_SECRET_FILE()
    manager = java.SparkEnv.get().securityManager() if authenticated else java.SecurityManager(conf, nothing, secret_file)
    environment = java.rpc.RpcEnv.create("stranger", "127.0.0.1", 0, conf, manager, yes)
    port = int(str(spark.sparkContext.getConf().get("spark.driver.port")))
    try:
        environment.setupEndpointRef(java.rpc.RpcAddress("127.0.0.1", port), "HeartbeatReceiver")
    except Py4JJavaError:
        return False
    finally:
        environment.shutdown()
    return True


def test_the_driver_refuses_clients_without_the_secret(spark: SparkSession) -> None:
    """Any user of the machine can reach the driver's port, so it must answer only clients with the secret."""
    assert driver_answers(spark, authenticated=True)
    assert not driver_answers(spark, authenticated=False)


def _command_lines() -> Iterator[str]:
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            yield " ".join(process.cmdline())
            yield " ".join(process.environ().values())


def test_the_secret_is_in_no_command_line_environment_or_displayed_setting(spark: SparkSession) -> None:
    environment = java_of(spark).SparkEnv.get()
    secret = environment.securityManager().getSecretKey()
    assert len(secret) >= 32
    lines = list(_command_lines())
    assert any("SparkSubmit" in line for line in lines)
    assert not [line for line in lines if secret in line]
    assert secret not in environment.conf().toDebugString()


def test_the_default_settings_have_no_ui_beyond_the_loopback_interface() -> None:
    assert Settings().spark_bind == "127.0.0.1"
