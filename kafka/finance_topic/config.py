"""Settings of topic-init, including those of the topic."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from finance_contract.topic import RETENTION, SETTINGS, retained
from finance_role.settings import RoleSettings, TopicName


class Settings(RoleSettings):
    """The keys of `.env` that describe the topic."""

    kafka_bootstrap: str = "localhost:9092"
    kafka_topic: TopicName = "finance"
    kafka_partitions: int = Field(4, ge=1, le=1000)
    kafka_retention_hours: PositiveInt = 168
    kafka_replication: int = Field(1, ge=1, le=100)
    broker_wait_seconds: float = Field(60, gt=0)

    def topic_config(self) -> dict[str, str]:
        """Return the topic's settings, all explicit, so that no broker default decides what happens to data."""
        return {
            **{name: setting.value for name, setting in SETTINGS.items()},
            RETENTION: retained(self.kafka_retention_hours).value,
            # One broker may be down: an acknowledged record is on all others that have the partition, and writes go on.
            "min.insync.replicas": str(max(1, self.kafka_replication - 1)),
        }
