"""Spark's way to a lake in an object store, for derived tables: Hadoop's S3A file system, which reads and never writes.

Its jars are beside those of the job only where they are wanted (jars/s3a.lock). Whatever is written goes through Arrow and
delta-rs, as in ingestion: S3A has no conditional put for what Delta's log store does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from finance_storage.bucket import BucketPath
from finance_storage.paths import LakePaths

if TYPE_CHECKING:
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from finance_job.config import Settings

MISSING = (
    "derived tables are off: Spark cannot read an object store without the jars of jars/s3a.lock. `make local` and `make up` "
    "fetch them (docs/OBJECT-STORE.md); BARS_SECONDS=0 wants none"
)


def jars(settings: Settings) -> Path:
    """Return the folder of the jars, beside those of the job."""
    return settings.spark_jars.resolve().with_name("s3a")


def is_used(settings: Settings) -> bool:
    """Whether Spark reads an object store: derived tables are wanted, the lake is in one, and the jars are there."""
    return bool(settings.lake_uri and settings.bars_seconds and any(jars(settings).glob("hadoop-aws-*.jar")))


def bars_seconds(settings: Settings, log: FilteringBoundLogger) -> float:
    """Return the time between revisions of derived tables; 0, with a line in the log, if Spark cannot read the lake."""
    if settings.lake_uri and settings.bars_seconds and not is_used(settings):
        log.warning(MISSING, jars=str(jars(settings)))
        return 0.0
    return settings.bars_seconds


def environment(settings: Settings) -> dict[str, str]:
    """Return the variables that put the jars at the end of the class path, so that the archive of classes still matches."""
    return {"SPARK_DIST_CLASSPATH": f"{jars(settings)}/*"} if is_used(settings) else {}


def options(settings: Settings) -> dict[str, str]:
    """Return Spark's options. They have no secret: the JVM reads the keys from their file."""
    root = LakePaths.of(settings).root
    if not is_used(settings) or not isinstance(root, BucketPath):
        return {}
    store = root.store
    reaching = {
        "endpoint": store.endpoint,
        "endpoint.region": store.region,
        "path.style.access": str(bool(store.endpoint)).lower(),
        "aws.credentials.provider": "org.apache.hadoop.fs.s3a.auth.ProfileAWSCredentialsProvider",
        "auth.profile.file": store.credentials_file,
        # Their defaults need a jar more.
        "input.stream.type": "classic",
        "audit.enabled": "false",
    }
    executors = {"spark.executor.extraClassPath": f"{settings.spark_jars.resolve()}/*:{jars(settings)}/*"}
    return {
        **{f"spark.hadoop.fs.s3a.{name}": value for name, value in reaching.items() if value},
        **(executors if settings.spark_master else {}),
    }
