"""`make local` as a user runs it."""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING

import duckdb
import polars as pl
import pytest
from deltalake import DeltaTable

from tests.support.stack import wait_until

if TYPE_CHECKING:
    from tests.support.stack import Stack

pytestmark = pytest.mark.stack

ALL = "zookeeper kafka topic-init producer spark-job"


def test_run_seconds_ends_with_the_whole_topic_in_a_table_for_every_reader(own_stack: Stack) -> None:
    run = own_stack.run(ALL, RUN_SECONDS=10, TICKS_PER_SECOND=1000, MALFORMED_RATE=0.02)

    assert run.end() == 0, run.text()

    assert "all of the topic is in the tables" in run.text()
    folder = str(own_stack.paths.ticks)
    table = DeltaTable(folder)
    rows = table.to_pyarrow_table().num_rows
    assert rows > 5000
    assert pl.read_delta(folder).height == rows
    files = table.file_uris()
    counted = duckdb.sql("select count(*) from read_parquet($files)", params={"files": files})
    assert counted is not None
    assert counted.fetchall() == [(rows,)]
    stored = own_stack.stored()
    assert max(stored.values()) == 1
    for partition in {partition for partition, _ in stored}:
        offsets = [offset for number, offset in stored if number == partition]
        assert sorted(offsets) == list(range(len(offsets)))


def test_a_role_that_dies_stops_the_others_and_is_named(own_stack: Stack) -> None:
    run = own_stack.run("zookeeper kafka topic-init producer")
    run.wait_for("Running:")

    run.role_process("zookeeper").send_signal(signal.SIGKILL)

    assert run.end() == 1
    assert "zookeeper ended with code -9" in run.text()


def test_sigterm_stops_the_roles_in_order(own_stack: Stack) -> None:
    run = own_stack.run(ALL)
    run.wait_for("Running:")
    run.wait_for("batch id=")

    run.process.send_signal(signal.SIGTERM)

    assert run.end() == 0
    text = run.text()
    assert text.index("producer   |", text.index("Stopping ...")) < text.index("shut down completed")
    assert text.index("spark-job  | ", text.index("Stopping ...")) < text.index("shut down completed")


def test_a_second_supervisor_on_the_same_data_is_refused(own_stack: Stack) -> None:
    first = own_stack.run("zookeeper")
    first.wait_for("Running:")

    second = own_stack.run("zookeeper", ZOOKEEPER_PORT=own_stack.zookeeper_port + 1)

    assert second.end() == 78
    assert "zookeeper already runs on" in second.text()
    assert first.stop() == 0


def test_a_busy_port_is_named_before_anything_starts(own_stack: Stack) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", own_stack.kafka_port))
        taken.listen()

        run = own_stack.run("zookeeper kafka")

        assert run.end() == 1
    assert f"port {own_stack.kafka_port} is taken: set KAFKA_PORT" in run.text()
    assert "zookeeper  |" not in run.text()


def test_invalid_settings_are_reported_together(own_stack: Stack) -> None:
    run = own_stack.run("spark-job nonsense", RUN_SECONDS=-1)

    assert run.end() == 2
    assert "no such role: nonsense" in run.text()
    assert "RUN_SECONDS" in run.text()
    assert "Traceback" not in run.text()


def test_a_job_without_a_broker_waits_with_few_log_lines(own_stack: Stack) -> None:
    job = own_stack.run("spark-job")
    job.wait_for("waiting .*no broker answers")
    broker = own_stack.run("zookeeper kafka topic-init")
    broker.wait_for("Running:")
    own_stack.send([b'{"symbol": "AAPL", "price": 174.5}'])

    wait_until(lambda: job.count("batch id=0") == 1, 120, lambda: f"the first batch:\n{job.text()[-3000:]}")

    assert len(job.text().splitlines()) < 40
    assert job.stop() == 0
    own_stack.assert_complete()
