"""A real job seals yesterday as soon as it starts, also after kill -9 between the manifest and its commit."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from finance_job.failpoint import SEAL_POINTS
from finance_job.guard import open_lake
from finance_job.records import RECORD_FIELDS, kafka_reader
from finance_job.transaction import Change
from finance_job.worker_task import WorkerTask
from finance_job.writer import Writer
from finance_kafka.describe import describe_topic
from finance_kafka.offsets import OffsetRange
from finance_role.environment import composed
from finance_storage.paths import QUARANTINE, TICKS
from finance_storage.seals import revisions
from tests.support.lakes import BAD, GOOD
from tests.support.stack import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from tests.support.stack import Stack

pytestmark = pytest.mark.stack

RECORDS = [GOOD, GOOD, BAD] * 50


def ingest_as_of(stack: Stack, moment: datetime) -> None:
    """Store the topic's records as a job would have done if the broker had received them at a moment."""
    broker = describe_topic(stack.bootstrap, stack.topic)
    writer = Writer(stack.paths, open_lake(stack.paths, stack.topic, broker))
    ranges = {number: OffsetRange(0, end) for number, end in broker.end.items()}
    task = WorkerTask({name: stack.paths.table(name) for name in (QUARANTINE, TICKS)}, int(moment.timestamp() * 1000))
    files = list(task.files(arrived(kafka_reader(stack.bootstrap, stack.topic)(ranges), moment)))
    for name in (QUARANTINE, TICKS):
        writer.commit(name, Change.of([file for file in files if file.table == name], ranges))


def arrived(batches: Iterator[pa.RecordBatch], moment: datetime) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        times = pa.array([moment] * batch.num_rows, RECORD_FIELDS.field("timestamp").type)
        yield batch.set_column(batch.schema.get_field_index("timestamp"), RECORD_FIELDS.field("timestamp"), times)


def command(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    settings = composed({"DATA_DIR": str(stack.paths.root)}, settings=False)
    call = [sys.executable, "-m", "finance_lake", *arguments]
    return subprocess.run(call, cwd=ROOT, env=settings, capture_output=True, text=True, check=False)


def seal(stack: Stack, day: date, wait: int) -> subprocess.CompletedProcess[str]:
    return command(stack, "seal", "--date", day.isoformat(), "--wait", str(wait))


def test_yesterday_is_sealed_at_once_whenever_the_job_is_killed(stack: Stack) -> None:
    stack.make_topic().send(RECORDS)
    noon = datetime.now(UTC).replace(hour=12) - timedelta(days=1)
    ingest_as_of(stack, noon)
    before, after = SEAL_POINTS

    assert seal(stack, noon.date(), 0).returncode == 3
    job = stack.run("spark-job", FAILPOINT=before)
    assert job.end() == 1
    assert "spark-job ended with code -9" in job.text()
    assert revisions(stack.paths, noon.date()) == [1]
    assert seal(stack, noon.date(), 0).returncode == 3

    job = stack.run("spark-job", FAILPOINT=after)
    assert job.end() == 1
    assert seal(stack, noon.date(), 0).returncode == 0

    job = stack.run("spark-job")
    sealed = seal(stack, noon.date(), 60)
    assert sealed.returncode == 0, sealed.stdout + sealed.stderr
    stack.send([GOOD])
    stack.wait_until_stored()
    assert job.stop() == 0
    assert revisions(stack.paths, noon.date()) == [1]
    copies = stack.folder / "copies"
    assert command(stack, "seal", "--date", str(noon.date()), "--copy", str(copies)).returncode == 0
    checked = command(stack, "check", str(copies / f"date={noon.date()}"))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert stack.verify().returncode == 0
