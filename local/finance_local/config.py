"""Settings of the local pipeline: roles, duration and ports."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator
from pydantic_settings import NoDecode

from finance_role.broker_kind import switch
from finance_role.settings import RoleSettings

ALL_ROLES = ("zookeeper", "kafka", "topic-init", "producer", "spark-job")
Heap = Annotated[str, Field(pattern=r"^[1-9][0-9]*[kmgKMG]$")]
Port = Annotated[int, Field(ge=1, le=65535)]


class Settings(RoleSettings):
    """Keys of `.env` and the command line that `make local` reads. The roles read their own settings."""

    kraft: Annotated[bool, BeforeValidator(switch)] = False
    roles: Annotated[tuple[str, ...], NoDecode] = Field(ALL_ROLES, validate_default=True)
    run_seconds: float = Field(0, ge=0, allow_inf_nan=False)
    kafka_port: Port = 9092
    kafka_controller_port: Port = 9093
    zookeeper_port: Port = 2181
    spark_ui_port: int = Field(4040, ge=0, le=65535)
    kafka_topic: str = Field("finance", pattern=r"^[A-Za-z0-9._-]{1,249}$")
    kafka_heap: Heap = "320m"
    zookeeper_heap: Heap = "64m"
    kafka_jars: Path = Path("build/jars/kafka")

    @field_validator("roles", mode="before")
    @classmethod
    def _known_roles(cls, value: str | tuple[str, ...], others: ValidationInfo) -> tuple[str, ...]:
        names = tuple(value.replace(",", " ").split()) if isinstance(value, str) else value
        unknown = [name for name in names if name not in ALL_ROLES]
        if unknown:
            message = f"no such role: {' '.join(unknown)}; the roles are {' '.join(ALL_ROLES)}"
            raise ValueError(message)
        if others.data.get("kraft"):
            names = tuple(name for name in names if name != "zookeeper")
        if not names:
            raise ValueError("must name at least one role; with KRAFT=1 there is no zookeeper")
        return tuple(name for name in ALL_ROLES if name in names)
