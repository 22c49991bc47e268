"""Settings of the job."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PositiveInt, ValidationInfo, field_validator
from pydantic_settings import NoDecode

from finance_role.settings import PlaceSettings, RoleSettings, TopicName

# One standalone master, or several of which one is active.
STANDALONE = r"^(spark://[^\s,/:]+:[0-9]+(,[^\s,/:]+:[0-9]+)*)?$"
Heap = Annotated[str, Field(pattern=r"^[0-9]+[mg]$")]
# Options of Spark's Kafka source that control how it reads. The job itself sets those that control what it reads.
KAFKA_OPTION = r"^(kafka\..+|kafkaConsumer\..+|fetchOffset\..+|minPartitions|maxRecordsPerPartition)$"


def _as_options(text: object) -> object:
    """Parse `name=value,name=value`; return anything else as it is, for pydantic to reject."""
    if not isinstance(text, str):
        return text
    options = [option.strip().partition("=") for option in text.split(",")]
    return {name: value for name, _, value in options} if all(equals for _, equals, _ in options) else text


KafkaOptions = Annotated[
    dict[Annotated[str, Field(pattern=KAFKA_OPTION)], str], NoDecode, BeforeValidator(_as_options), Field(default_factory=dict)
]


class SparkSettings(RoleSettings):
    """The keys that the processes of a Spark cluster read: the job as driver, the master, the workers."""

    spark_master: str = Field("", pattern=STANDALONE)
    spark_host: str = Field("127.0.0.1", pattern=r"^[A-Za-z0-9._-]+$")
    spark_secret_file: Path | None = Field(None, validate_default=True)
    spark_executor_heap: Heap = "512m"
    spark_cores: int = Field(2, ge=1)
    spark_ui_port: int = Field(4040, ge=0, le=65535)
    spark_bind: str = "127.0.0.1"

    @field_validator("spark_secret_file")
    @classmethod
    def _has_a_secret(cls, file: Path | None, others: ValidationInfo) -> Path | None:
        """Require a secret for a cluster, and that the named file has one."""
        if file not in {None, Path()}:
            secret_of(Path(str(file)))
        elif others.data.get("spark_master"):
            raise ValueError("with SPARK_MASTER it must name a file with the cluster's secret, the same at every process")
        return file


def secret_of(file: Path) -> str:
    """Return the secret in a file. Raises ValueError if it cannot be read or is not one line of printable characters."""
    try:
        secret = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the secret cannot be read ({error})") from None
    if not re.fullmatch(r"[!-~]{16,}", secret) or "\\" in secret:
        raise ValueError("the file must have one line of at least 16 printable characters, without spaces and backslashes")
    return secret


class Settings(SparkSettings, PlaceSettings):
    """The keys of `.env` that the job reads."""

    kafka_bootstrap: str = "localhost:9092"
    kafka_topic: TopicName = "finance"
    kafka_retention_hours: PositiveInt = 168
    reader: Literal["spark", "direct"] = "spark"
    kafka_options: KafkaOptions
    trigger_seconds: float = Field(1, ge=0)
    bars_seconds: float = Field(60, ge=0)
    max_offsets_per_trigger: int = Field(2_000_000, ge=1)
    spark_heap: Heap = "1000m"
    spark_jars: Path = Path("build/jars/spark")
    spark_archive: Path = Path("build/spark.jsa")
