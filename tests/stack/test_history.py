"""A new lake begins with an hour of the same market in the past, and is complete with it."""

from __future__ import annotations

import json
import re
import signal
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from finance_lake import Lake
from finance_producer.unused_topic import is_unused
from finance_storage import ledger
from tests.support.stack import wait_until

if TYPE_CHECKING:
    from tests.support.stack import Stack

pytestmark = pytest.mark.stack

MINUTES = 20


def test_a_new_lake_begins_with_a_history_and_goes_on_live_without_a_gap(own_stack: Stack) -> None:
    began = datetime.now(UTC)
    run = own_stack.run(
        "zookeeper kafka topic-init producer spark-job", RUN_SECONDS=5, HISTORY_MINUTES=MINUTES, MALFORMED_RATE=0.001
    )

    assert run.end(300) == 0, run.text()

    assert run.count("history begins +minutes=20 ticks=120000 per_second=100") == 1
    (published,) = re.findall(r"history published +ticks=(\d+)", run.text())
    lake = Lake(own_stack.paths.root)
    ticks = lake.ticks().arrow
    assert ticks.column("seq").to_pylist() == list(range(len(ticks)))
    assert len(ticks) > int(published) >= 120_000
    times = ticks.column("ts_event").cast("int64").to_numpy()
    assert np.diff(times).max() < 2_000_000, "a gap of two seconds, though the machine may be slow"
    first = ticks.column("ts_event")[0].as_py()
    assert abs(first - (began - timedelta(minutes=MINUTES))) < timedelta(minutes=2)
    assert all(len(lake.bars("1m", symbol)) >= MINUTES for symbol in lake.symbols())
    (file,) = (own_stack.paths.root / "ledger").glob("*.jsonl")
    assert ledger.read(file).acknowledged == [(0, len(ticks) - 1)]
    assert json.loads(own_stack.verify("--json", "--no-broker").stdout)["verdict"] == "complete"


@pytest.mark.faults
def test_only_an_unused_topic_begins_with_a_history_and_an_interrupted_one_leaves_a_valid_lake(stack: Stack) -> None:
    settings = {"HISTORY_MINUTES": 10_080, "TICKS_PER_SECOND": 100}
    run = stack.make_topic().run("producer", **settings)
    run.wait_for("history begins")
    wait_until(lambda: sum(stack.end_offsets().values()) > 0, 30, "the first records")
    run.role_process("producer").send_signal(signal.SIGKILL)
    run.end(30)
    assert not run.count("history published")
    interrupted = sum(stack.end_offsets().values())

    run = stack.run("producer", **settings)
    wait_until(lambda: sum(stack.end_offsets().values()) > interrupted, 30, "live ticks")
    assert run.stop() == 0
    assert not run.count("history begins")

    job = stack.run("spark-job")
    stack.wait_until_stored()
    assert job.stop() == 0
    stack.assert_proven()


def test_a_topic_whose_records_were_deleted_is_not_unused(stack: Stack) -> None:
    assert is_unused(stack.bootstrap, stack.topic) is None
    stack.make_topic()
    assert is_unused(stack.bootstrap, stack.topic)
    stack.send([b"any record"])
    admin = AdminClient({"bootstrap.servers": stack.bootstrap, "log_level": 0})
    ends = [TopicPartition(stack.topic, partition, end) for partition, end in stack.end_offsets().items()]
    for removed in admin.delete_records(ends).values():
        removed.result(30)
    assert is_unused(stack.bootstrap, stack.topic) is False
