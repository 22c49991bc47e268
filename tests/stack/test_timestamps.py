"""A topic that lets clients set timestamps: the job warns at the start, and no timestamp stops it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.compute as pc
import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from finance_contract import TIMESTAMPS_MS
from finance_storage.paths import QUARANTINE, TICKS
from tests.stack.test_readers import rows, stored_by
from tests.support.lakes import BAD, GOOD
from tests.support.stack import wait_until
from tests.unit.job.test_timestamps import NASTY

if TYPE_CHECKING:
    from collections.abc import Callable

    from confluent_kafka import KafkaError, Message

    from tests.support.stack import Stack

pytestmark = pytest.mark.stack


def let_clients_set_timestamps(stack: Stack) -> None:
    admin = AdminClient({"bootstrap.servers": stack.bootstrap, "log_level": 0})
    entry = ConfigEntry("message.timestamp.type", "CreateTime", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, stack.topic, incremental_configs=[entry])
    admin.incremental_alter_configs([resource])[resource].result(10)
    # The change does not take effect immediately.
    wait_until(lambda: keeps_timestamps(stack), 30, "the broker still sets the timestamps itself")


def keeps_timestamps(stack: Stack) -> bool:
    """Send a record; return whether the broker has kept its timestamp."""
    kinds: list[int] = []
    producer = Producer({"bootstrap.servers": stack.bootstrap, "log_level": 0})
    producer.produce(
        stack.topic,
        GOOD,
        partition=0,
        timestamp=TIMESTAMPS_MS[0],
        on_delivery=lambda _, sent: kinds.append(sent.timestamp()[0]),
    )
    producer.flush(30)
    return kinds == [TIMESTAMP_CREATE_TIME]


def send(stack: Stack, milliseconds: list[int]) -> dict[int, str]:
    """Send a good and a malformed record with each timestamp, a batch per timestamp; return the broker's errors."""
    producer = Producer({"bootstrap.servers": stack.bootstrap, "log_level": 0})
    refused: dict[int, str] = {}

    def note(number: int) -> Callable[[KafkaError | None, Message], None]:
        return lambda error, _: refused.update({number: error.name()}) if error else None

    for moment in milliseconds:
        for value in (GOOD, BAD):
            producer.produce(stack.topic, value, partition=0, timestamp=moment, on_delivery=note(moment))
        producer.flush(30)
    return refused


def test_no_timestamp_stops_either_reader(stack: Stack) -> None:
    stack.make_topic().send([GOOD, BAD] * 50)
    let_clients_set_timestamps(stack)
    refused = send(stack, [milliseconds for milliseconds, _ in NASTY.values()])
    send(stack, [TIMESTAMPS_MS[0] + 10**9 * number for number in range(0, 3000, 10)])

    lakes = {reader: stored_by(stack, reader, MAX_OFFSETS_PER_TRIGGER=1000) for reader in ("spark", "direct")}

    for run in stack.runs:
        assert run.count("settings are not those of topic-init") == 1
        assert "message.timestamp.type=CreateTime, not LogAppendTime: kafka_timestamp is what a client says" in run.text()
        assert "restarting" not in run.text()
        assert "Traceback" not in run.text()
    for name in (TICKS, QUARANTINE):
        by_spark, directly = (rows(lakes[reader].table(name)) for reader in ("spark", "direct"))
        assert by_spark.num_rows > 300
        # Without the date: midnight may be between the two runs.
        dateless = [table.drop_columns(["date"]) if name == TICKS else table for table in (by_spark, directly)]
        assert dateless[0].equals(dateless[1])
    stored = rows(lakes["spark"].quarantine).column("reason")
    reasons = {entry["values"]: entry["counts"] for entry in pc.value_counts(stored).to_pylist()}
    assert refused == {}
    # The client sends 0 as the current time.
    assert reasons["timestamp_range"] == sum(detail is not None and at != 0 for at, detail in NASTY.values())
    assert len(pc.unique(rows(lakes["spark"].ticks).column("date"))) <= 2
    for lake in lakes.values():
        verified = stack.verify("--values", "--data", str(lake.root))
        assert verified.returncode == 0, verified.stdout
