"""`verify --values` on a live lake at 20,000 ticks a second: complete, again and again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from finance_storage.delta_table import committed_offsets

if TYPE_CHECKING:
    from tests.support.stack import Stack

pytestmark = pytest.mark.stack

RATE = 20_000
KEPT = 100_000  # records of each partition that stay in the topic; all of them are read and compared each time


def forget_old_records(stack: Stack) -> None:
    """Remove from the topic what the lake has, as retention does; or each look would take longer than the one before."""
    admin = AdminClient({"bootstrap.servers": stack.bootstrap, "log_level": 0})
    places = [
        TopicPartition(stack.topic, partition, max(0, position - KEPT))
        for partition, position in committed_offsets(stack.paths.ticks).items()
    ]
    for removed in admin.delete_records(places).values():
        removed.result(30)


@pytest.mark.alone
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("looks", [3, pytest.param(100, marks=pytest.mark.faults)])
def test_a_live_lake_is_complete_each_time(stack: Stack, looks: int) -> None:
    stack.make_topic()
    job = stack.run("spark-job")
    job.wait_for("connected")
    producer = stack.run("producer", TICKS_PER_SECOND=RATE, MALFORMED_RATE=0.001)
    job.wait_for("batch id=1 ")
    for number in range(looks):
        looked = stack.verify("--values", "--json")
        assert looked.returncode == 0, f"look {number}: {looked.stdout}{looked.stderr}"
        assert json.loads(looked.stdout)["verdict"] == "complete"
        forget_old_records(stack)
    assert producer.stop() == 0
    stack.wait_until_stored()
    assert job.stop() == 0
    stack.assert_proven()
