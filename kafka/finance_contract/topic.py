"""How the topic is to be kept, and what each of its settings is for."""

from typing import Final, NamedTuple


class Kept(NamedTuple):
    """A setting of the topic: its value, and what no longer holds where it is another."""

    value: str
    otherwise: str


HOUR_MS: Final = 3_600_000
RETENTION: Final = "retention.ms"
SETTINGS: Final = {
    # Compaction would make holes in the offsets, and the proof rests on there being none.
    "cleanup.policy": Kept(
        "delete", "Kafka removes records before the lake has them, and verify cannot tell them from lost ones"
    ),
    # 1 MiB limits the *compressed batch* as it travels; the contract judges the 64 KiB of a single value.
    "max.message.bytes": Kept("1048576", "records of 64 KiB may be refused, or batches come for which heaps are too small"),
    # The broker's clock dates a record. A client's date could hide it from retention or lose it at once.
    "message.timestamp.type": Kept(
        "LogAppendTime", "kafka_timestamp is what a client says, records that say no time are quarantined, retention goes by it"
    ),
    # The broker then unpacks a batch before it stores it, so its size limit meets a decompression bomb at the door; a bomb that
    # is stored would exhaust the job's heap for ever (docs/adr/0006).
    "compression.type": Kept("uncompressed", "a decompression bomb is stored, and exhausts the job's heap for ever"),
}


def retained(hours: int) -> Kept:
    """Give the setting RETENTION for that many hours."""
    return Kept(str(hours * HOUR_MS), f"records are not kept for the {hours} hours for which the job may be away")


def unkept(actual: dict[str, str], hours: int) -> list[str]:
    """Say which settings of a topic are not as they are to be, and what no longer holds, a phrase each.

    A setting that the broker does not tell is passed over, and so is a longer retention (-1 is for ever).
    """
    wanted = SETTINGS if _lasts(actual, hours) else {**SETTINGS, RETENTION: retained(hours)}
    return [
        f"{name}={actual[name]}, not {kept.value}: {kept.otherwise}"
        for name, kept in wanted.items()
        if name in actual and actual[name] != kept.value
    ]


def _lasts(actual: dict[str, str], hours: int) -> bool:
    kept = int(actual.get(RETENTION, -1))
    return kept < 0 or kept >= hours * HOUR_MS
