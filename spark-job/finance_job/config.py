"""Settings of the job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PositiveInt
from pydantic_settings import NoDecode

from finance_role.settings import RoleSettings

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


class Settings(RoleSettings):
    """The keys of `.env` that the job reads."""

    kafka_bootstrap: str = "localhost:9092"
    kafka_topic: str = Field("finance", pattern=r"^[A-Za-z0-9._-]{1,249}$")
    kafka_retention_hours: PositiveInt = 168
    reader: Literal["spark", "direct"] = "spark"
    kafka_options: KafkaOptions
    trigger_seconds: float = Field(1, ge=0)
    bars_seconds: float = Field(60, ge=0)
    max_offsets_per_trigger: int = Field(2_000_000, ge=1)
    spark_heap: str = Field("1000m", pattern=r"^[0-9]+[mg]$")
    spark_cores: int = Field(2, ge=1)
    spark_ui_port: int = Field(4040, ge=0, le=65535)
    spark_bind: str = "127.0.0.1"
    spark_jars: Path = Path("build/jars/spark")
    spark_archive: Path = Path("build/spark.jsa")
