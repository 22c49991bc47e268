"""Settings of the job."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from finance_role.settings import RoleSettings


class Settings(RoleSettings):
    """Keys of `.env` that the job reads."""

    kafka_bootstrap: str = "localhost:9092"
    kafka_topic: str = Field("finance", pattern=r"^[A-Za-z0-9._-]{1,249}$")
    trigger_seconds: float = Field(1, ge=0)
    max_offsets_per_trigger: int = Field(2_000_000, ge=1)
    spark_heap: str = Field("640m", pattern=r"^[0-9]+[mg]$")
    spark_cores: int = Field(2, ge=1)
    spark_ui_port: int = Field(4040, ge=0, le=65535)
    spark_bind: str = "127.0.0.1"
    spark_jars: Path = Path("build/jars/spark")
    spark_archive: Path = Path("build/spark.jsa")
