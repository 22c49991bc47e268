"""The required settings of the topic, and what each is for."""

from typing import Final, NamedTuple


class Kept(NamedTuple):
    """A setting of the topic: its required value, and what happens if it has another."""

    value: str
    otherwise: str


HOUR_MS: Final = 3_600_000
RETENTION: Final = "retention.ms"
CLEANUP: Final = "cleanup.policy"
SETTINGS: Final = {
    # Compaction would leave holes in the offsets, and verify relies on there being none.
    CLEANUP: Kept("delete", "Kafka removes records before the lake stores them, and verify cannot tell them from lost ones"),
    # 1 MiB limits the *compressed batch* in transit; the contract limits a single value to 64 KiB.
    "max.message.bytes": Kept("1048576", "records of 64 KiB may be refused, or the heaps are too small for large batches"),
    # The broker's clock sets the timestamp. A client's timestamp could exempt a record from retention or expire it immediately.
    "message.timestamp.type": Kept(
        "LogAppendTime", "kafka_timestamp is what a client says, records without one are quarantined, and retention goes by it"
    ),
    # The broker then decompresses a batch before it stores it, so its size limit rejects a decompression bomb. A stored bomb
    # would exhaust the job's heap on every attempt to read it (docs/adr/0006).
    "compression.type": Kept(
        "uncompressed", "a decompression bomb is stored and exhausts the job's heap on every attempt to read it"
    ),
    "unclean.leader.election.enable": Kept(
        "false", "a broker that lacks acknowledged records may become the leader, and these records are lost"
    ),
}


def retained(hours: int) -> Kept:
    """Return the RETENTION setting for that many hours."""
    return Kept(str(hours * HOUR_MS), f"records are not kept for the {hours} hours for which the job may be down")


def unkept(actual: dict[str, str], hours: int) -> list[str]:
    """Return a phrase for each setting of a topic with another value than required, and what follows from it.

    A setting that the broker does not report is skipped, and so is a longer retention (-1 is unlimited).
    """
    required = SETTINGS if _lasts(actual, hours) else {**SETTINGS, RETENTION: retained(hours)}
    return [
        f"{name}={actual[name]}, not {setting.value}: {setting.otherwise}"
        for name, setting in required.items()
        if name in actual and actual[name] != setting.value
    ]


def _lasts(actual: dict[str, str], hours: int) -> bool:
    retention_ms = int(actual.get(RETENTION, -1))
    return retention_ms < 0 or retention_ms >= hours * HOUR_MS
