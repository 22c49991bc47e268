"""Settings of the local pipeline: roles, duration and ports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import NoDecode

from finance_role.broker_kind import NEWER, OLDER, chosen, release_line
from finance_role.broker_settings import BrokerSettings
from finance_role.settings import Port, Switch, TickSource  # noqa: TC001 (pydantic evaluates them)

if TYPE_CHECKING:
    from collections.abc import Mapping

OBJECT_STORE = "s3"
ALL_ROLES = ("zookeeper", "kafka", "topic-init", "producer", "spark-job")
ZOOKEEPERS = ("zookeeper", "zookeeper-2", "zookeeper-3")
BROKERS = ("kafka", "kafka-2", "kafka-3")
WORKERS = ("spark-worker-1", "spark-worker-2")
CLUSTER_ROLES = (*ZOOKEEPERS, *BROKERS, "topic-init", "spark-master", *WORKERS, "producer", "spark-job")
# The roles that KAFKA_BOOTSTRAP replaces.
OF_OWN_BROKERS = (*ZOOKEEPERS, *BROKERS, "topic-init")
Heap = Annotated[str, Field(pattern=r"^[1-9][0-9]*[kmgKMG]$")]


class Settings(BrokerSettings):
    """Keys of `.env` and the command line that `make local` reads. The roles read their own settings."""

    cluster: Switch = Field(default=False, validate_default=True)
    kafka_version: str = OLDER
    tick_source: TickSource = "simulate"
    roles: Annotated[tuple[str, ...], NoDecode] = Field(ALL_ROLES, validate_default=True)
    run_seconds: float = Field(0, ge=0, allow_inf_nan=False)
    spark_master_port: Port = 7077
    kafka_heap: Heap = "320m"
    zookeeper_heap: Heap = "64m"
    kafka_jars: Path = Path("build/jars/kafka")  # of Kafka 3.9; those of Kafka 4 are in a folder beside it
    s3_server: Path = Path("build/s3/versitygw")

    @field_validator("roles", mode="before")
    @classmethod
    def _known_roles(cls, value: str | tuple[str, ...], others: ValidationInfo) -> tuple[str, ...]:
        known = CLUSTER_ROLES if others.data.get("cluster") else ALL_ROLES
        known = (OBJECT_STORE, *known) if others.data.get("s3") else known
        names = tuple(value.replace(",", " ").split()) if isinstance(value, str) else known if value == ALL_ROLES else value
        unknown = [name for name in names if name not in known]
        if unknown:
            message = f"no such role: {' '.join(unknown)}; the roles are {' '.join(known)}"
            raise ValueError(message)
        left = tuple(name for name in known if name in names and name not in _without(others.data))
        if not left:
            raise ValueError(
                "must name at least one role; with KRAFT=1 there is no zookeeper, with KAFKA_BOOTSTRAP no broker and no "
                "topic-init, with TICK_SOURCE=none no producer"
            )
        return left

    @field_validator("cluster")
    @classmethod
    def _has_own_brokers(cls, value: bool, others: ValidationInfo) -> bool:  # noqa: FBT001 (pydantic passes it)
        chosen(kraft=bool(others.data.get("kraft")), cluster=value, bootstrap=others.data.get("kafka_bootstrap"))
        return value

    @field_validator("kafka_version")
    @classmethod
    def _has_this_kind(cls, value: str, others: ValidationInfo) -> str:
        return release_line(value, kraft=bool(others.data.get("kraft")))

    @property
    def jars_of_the_broker(self) -> Path:
        """The folder with the jars of KAFKA_VERSION."""
        return self.kafka_jars.with_name(f"{self.kafka_jars.name}-{NEWER}") if self.kafka_version == NEWER else self.kafka_jars


def _without(settings: Mapping[str, object]) -> set[str]:
    """Return the roles that there are not with these settings."""
    left_out: set[str] = {"zookeeper"} if settings.get("kraft") else set()
    if settings.get("kafka_bootstrap"):
        left_out.update(OF_OWN_BROKERS)
    if settings.get("tick_source") == "none":
        left_out.add("producer")
    return left_out
