"""Settings of topic-init, and through them the settings of the topic."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from finance_role.settings import RoleSettings

HOUR_MS = 3_600_000


class Settings(RoleSettings):
    """Keys of `.env` that describe the topic."""

    kafka_bootstrap: str = "localhost:9092"
    kafka_topic: str = Field("finance", pattern=r"^[A-Za-z0-9._-]{1,249}$")
    kafka_partitions: int = Field(4, ge=1, le=1000)
    kafka_retention_hours: PositiveInt = 168
    broker_wait_seconds: float = Field(60, gt=0)

    def topic_config(self) -> dict[str, str]:
        """The topic's settings, each of them explicit, so that no default of a broker decides about data.

        `LogAppendTime`: the broker's clock dates a record. A client's date could hide it from retention or lose it at once.
        `delete`: compaction would make holes in the offsets, and the proof rests on there being none.
        1 MiB limits the *compressed batch* as it travels; the contract judges the 64 KiB of a single value.
        `uncompressed`: the broker then unpacks a batch before it stores it, so its size limit meets a decompression bomb at
        the door; a bomb that is stored would exhaust the job's heap for ever (docs/adr/0006).
        """
        return {
            "cleanup.policy": "delete",
            "retention.ms": str(self.kafka_retention_hours * HOUR_MS),
            "max.message.bytes": str(1024 * 1024),
            "message.timestamp.type": "LogAppendTime",
            "compression.type": "uncompressed",
            "min.insync.replicas": "1",
        }
