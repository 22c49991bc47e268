"""Measure a lake in an object store against one on disk, on the same machine: `python -m bench.object_store`.

The S3 server is that of S3=1 (`make build/s3/versitygw`). In each round both lakes are measured, one after the other, with each
reader of the job and without derived tables, which a bucket does not have: the drain of a backlog with `verify --values` after
it, then small batches at 100 ticks/s. After the small batches in the bucket the driver is killed with SIGKILL, and another one
starts with another data folder. A figure is the median of what is compared within each round.

It prints a line for each figure, with its aim, and writes bench/results/<date>-object-store.json. BENCH_ROUNDS, BENCH_TICKS,
BENCH_BATCH (ticks in a batch of the drain), BENCH_READERS and BENCH_PARTS=drain,batch change what is run.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import statistics
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from bench.aims import of_object_store
from bench.broker import READERS, publish, running_broker
from bench.figures import as_line, spread
from bench.run import RESULTS, machine
from tests.support.s3_server import S3Server
from tests.support.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.stack import Run

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
TICKS = int(os.environ.get("BENCH_TICKS", "4000000"))
BATCH = int(os.environ.get("BENCH_BATCH", "200000"))
PARTS = os.environ.get("BENCH_PARTS", "drain,batch").split(",")
DISK, BUCKET = "disk", "bucket"
WARM_BATCHES = 5  # of a drain
SMALL_RATE = 100
FIRST, LAST = 20, 50  # the small batches that are measured
MAX_SECONDS = 900
POLL_SECONDS = 0.02
ROWS = re.compile(r"batch id=\d+ rows=(\d+) .* ms=(\d+) ")

Figures = dict[str, float]
NUMBERS = itertools.count()


class Rig(NamedTuple):
    """A broker, whose topic has a backlog, and an S3 server."""

    broker: Stack
    server: S3Server

    @contextmanager
    def lake(self, where: str, topic: str) -> Iterator[Stack]:
        """Yield a new lake on disk or in the bucket, and end what was started on it."""
        name = f"{where}-{next(NUMBERS)}"
        yield from self._stack(name, topic, self.server.settings(prefix=name) if where == BUCKET else {})

    @contextmanager
    def elsewhere(self, lake: Stack) -> Iterator[Stack]:
        """Yield the same lake in the bucket, with another data folder."""
        yield from self._stack(f"{lake.folder.name}-elsewhere", lake.topic, dict(lake.lake))

    def _stack(self, name: str, topic: str, settings: dict[str, str]) -> Iterator[Stack]:
        folder = self.broker.folder / name
        folder.mkdir()
        stack = Stack(folder, self.broker.kafka_port, self.broker.zookeeper_port, topic, lake=settings)
        try:
            yield stack
        finally:
            for run in reversed(stack.runs):
                run.kill_everything()


def drained(rig: Rig, where: str, reader: str) -> Figures:
    """Drain the backlog into a new lake, then verify it with values; return the rates in rows per second."""
    with rig.lake(where, rig.broker.topic) as lake:
        job = lake.run("spark-job", READER=reader, TRIGGER_SECONDS=0, BARS_SECONDS=0, MAX_OFFSETS_PER_TRIGGER=BATCH)
        wait(job, lambda: len(batches(job)) >= WARM_BATCHES)
        began, first = time.monotonic(), sum(rows for rows, _ in batches(job))
        assert first < TICKS, "the warm batches have all ticks: raise BENCH_TICKS"
        wait(job, lambda: sum(rows for rows, _ in batches(job)) == TICKS)
        rate = (TICKS - first) / (time.monotonic() - began)
        assert job.stop() == 0, job.text()[-3000:]
        began = time.monotonic()
        assert f"{TICKS:,} rows" in lake.assert_proven()
        verify_rate = TICKS / (time.monotonic() - began)
    return {"drain": round(rate), "verify": round(verify_rate)}


def small_batches(rig: Rig, where: str, reader: str) -> Figures:
    """Return the median of small batches in milliseconds; in a bucket, also how many seconds a take-over lasts."""
    with rig.lake(where, f"small-{next(NUMBERS)}") as lake:
        lake.make_topic()
        lake.run("producer", TICKS_PER_SECOND=SMALL_RATE)
        job = lake.run("spark-job", READER=reader, BARS_SECONDS=0)
        wait(job, lambda: len(batches(job)) > LAST)
        figures = {"batch_ms": statistics.median(ms for _, ms in batches(job)[FIRST : LAST + 1])}
        return figures | ({"take_over_s": take_over(rig, lake, job, reader)} if where == BUCKET else {})


def take_over(rig: Rig, lake: Stack, job: Run, reader: str) -> float:
    """Kill the driver; return the seconds until another one, with another folder, has stored its first rows."""
    with rig.elsewhere(lake) as other:
        job.role_process("spark-job").kill()
        began = time.monotonic()
        newer = other.run("spark-job", READER=reader, BARS_SECONDS=0)
        wait(newer, lambda: any(rows for rows, _ in batches(newer)))
        seconds = round(time.monotonic() - began, 1)
        assert newer.stop() == 0, newer.text()[-3000:]
    return seconds


def batches(job: Run) -> list[tuple[int, int]]:
    """Return rows and milliseconds of each batch so far."""
    return [(int(rows), int(ms)) for rows, ms in ROWS.findall(job.text())]


def wait(job: Run, holds: Callable[[], bool]) -> None:
    """Wait until the condition holds; fail if the job ends before."""
    deadline = time.monotonic() + MAX_SECONDS
    while not holds():
        assert job.process.poll() is None, job.text()[-4000:]
        assert time.monotonic() < deadline, job.text()[-4000:]
        time.sleep(POLL_SECONDS)


MEASURES = {"drain": drained, "batch": small_batches}


def measure(rig: Rig, reader: str, number: int) -> dict[str, Figures]:
    """Measure both lakes once, one after the other, and the load of the machine before each."""
    figures: dict[str, Figures] = {DISK: {}, BUCKET: {}}
    order = (DISK, BUCKET) if number % 2 == 0 else (BUCKET, DISK)
    for part, where in itertools.product(PARTS, order):
        load = round(os.getloadavg()[0], 1)
        measured = MEASURES[part](rig, where, reader)
        print(f"round {number}: {reader:6} {where:6} {as_line(measured)}, load before: {load}", flush=True)
        figures[where] |= measured | {f"load_{part}": load}
    return figures


def compared(rounds: list[dict[str, Figures]]) -> dict[str, dict[str, float]]:
    """Return ratios and differences of the bucket to the disk within each round, as median and extremes."""
    pairs = [(each[BUCKET], each[DISK]) for each in rounds]
    figures = {}
    if "drain" in PARTS:
        for name in ("drain", "verify"):
            figures[f"{name}_ratio"] = spread([bucket[name] / disk[name] for bucket, disk in pairs])
    if "batch" in PARTS:
        figures["batch_more_ms"] = spread([bucket["batch_ms"] - disk["batch_ms"] for bucket, disk in pairs])
        figures["take_over_s"] = spread([bucket["take_over_s"] for bucket, _ in pairs])
    return figures


def main() -> None:
    """Measure, print and write the figures."""
    with running_broker() as broker, S3Server(broker.folder) as server:
        if "drain" in PARTS:
            publish(broker, TICKS)
        rig = Rig(broker, server)
        rounds = {reader: [measure(rig, reader, number) for number in range(ROUNDS)] for reader in READERS}
    figures = {reader: compared(measured) for reader, measured in rounds.items()}
    for reader, of_reader in figures.items():
        for name, cell in of_object_store(of_reader).items():
            print(f"READER={reader:6} {name}: {cell.measured}, aim {cell.aim}: {cell.verdict}")
    RESULTS.mkdir(exist_ok=True)
    target = RESULTS / f"{datetime.now(UTC):%Y-%m-%dT%H%M%S}-object-store.json"
    settings = {"ticks": TICKS, "batch": BATCH, "small_rate": SMALL_RATE}
    target.write_text(json.dumps({**machine(), **settings, "rounds": rounds, "figures": figures}, indent=2) + "\n")
    print(f"written: {target}")


if __name__ == "__main__":
    main()
