"""Measure what more executors, brokers and an object store change on one machine: `make bench CLUSTER=1`.

In each round every setup drains the same ticks, one after the other, in an order that rotates: both cores in the job's own
process (`local[2]`), one and two executors of a standalone cluster, three brokers with three replicas, a lake in S3. A drain is
measured over the second half of the topic, when all JVMs are warm. CPU is that of driver, executors and their Python workers;
that of the brokers is counted apart. Ratios are computed within a round, because others may use the machine: its load is noted.

It prints a line per figure with its aim and writes bench/results/<date>-cluster.json. BENCH_TICKS, BENCH_BATCH, BENCH_ROUNDS,
BENCH_READERS and BENCH_SETUPS="local[2];2 executors" change what is run; `local[2]` always is.
"""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bench.aims import Cell, at_least
from bench.broker import READERS
from bench.cluster_rig import Setup, running_rig
from bench.contenders import CommittedRows
from bench.drain import data_bytes
from bench.figures import as_line, medians, spread
from bench.machine import Meter
from bench.run import RESULTS, machine

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.cluster_rig import Job, Rig

TICKS = int(os.environ.get("BENCH_TICKS", "6000000"))
BATCH = int(os.environ.get("BENCH_BATCH", "500000"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
BASE = "local[2]"
SETUPS = (
    Setup(BASE),
    Setup("1 executor", executors=1),
    Setup("2 executors", executors=2),
    Setup("local[2], 3 brokers", brokers=3),
    Setup("local[2], S3", bucket=True),
)
NAMES = os.environ.get("BENCH_SETUPS", ";".join(setup.name for setup in SETUPS)).split(";")
CHOSEN = [setup for setup in SETUPS if setup.name in {BASE, *NAMES}]
# No slower than local[2] by more than a fifth.
MIN_RATE_TO_BASE = {"2 executors": 0.83}
MAX_SECONDS = 900
POLL_SECONDS = 0.05

Figures = dict[str, float]


def drain(rig: Rig, setup: Setup, reader: str) -> Figures:
    """Drain the topic into a new lake; return rates per second, CPU microseconds and bytes per tick, peak memory in MB."""
    load = os.getloadavg()[0]
    job = rig.start(setup, READER=reader, MAX_OFFSETS_PER_TRIGGER=str(BATCH))
    rows = CommittedRows(job.table)
    first = _wait(job, rows, TICKS // 2, lambda: None)
    meters, brokers = [Meter(each) for each in job.processes], [Meter(each) for each in rig.brokers(setup.brokers)]
    began = time.monotonic()

    def look() -> None:
        for meter in (*meters, *brokers):
            meter.look()

    last = _wait(job, rows, TICKS, look)
    seconds = time.monotonic() - began
    look()
    assert job.driver.stop() == 0, job.driver.text()[-4000:]
    return {
        "rate": round((last - first) / seconds),
        "cpu_us": round(sum(meter.cpu for meter in meters) / (last - first) * 1e6, 2),
        "brokers_cpu_us": round(sum(meter.cpu for meter in brokers) / (last - first) * 1e6, 2),
        "peak_mb": round(sum(meter.peak_mb for meter in meters)),
        "bytes_a_tick": round(data_bytes(job.table) / TICKS, 2),
        "load": round(load, 1),
    }


def _wait(job: Job, rows: CommittedRows, wanted: int, look: Callable[[], None]) -> int:
    """Wait until the table has at least so many rows; return how many it has."""
    deadline = time.monotonic() + MAX_SECONDS
    while (done := rows.count()) < wanted:
        assert job.driver.process.is_running(), job.driver.text()[-4000:]
        assert time.monotonic() < deadline, f"{done} of {wanted} rows\n{job.driver.text()[-4000:]}"
        look()
        time.sleep(POLL_SECONDS)
    return done


def one_round(rig: Rig, number: int) -> dict[str, dict[str, Figures]]:
    """Drain with each setup and reader once."""
    turn = number % len(CHOSEN)
    figures: dict[str, dict[str, Figures]] = {reader: {} for reader in READERS}
    for setup in CHOSEN[turn:] + CHOSEN[:turn]:
        for reader in READERS:
            figures[reader][setup.name] = drain(rig, setup, reader)
            print(f"round {number}: {reader:6} {setup.name:20} {as_line(figures[reader][setup.name])}", flush=True)
    return figures


def summary(rounds: list[dict[str, Figures]]) -> dict[str, Any]:
    """Return the medians of each setup, and its rate and CPU relative to `local[2]` in the same round."""
    return {
        name: {
            **medians([each[name] for each in rounds]),
            **{f"{of}_to_base": spread([each[name][of] / each[BASE][of] for each in rounds]) for of in ("rate", "cpu_us")},
        }
        for name in rounds[0]
    }


def cells(drained: dict[str, Any]) -> dict[str, Cell]:
    """Return the rates relative to `local[2]` as cells by setup."""
    result = {}
    for name, figures in drained.items():
        ratio = figures["rate_to_base"]
        text = (
            f"{figures['rate']:,.0f} ticks/s, {ratio['median']} ({ratio['min']} to {ratio['max']}) times {BASE}, "
            f"CPU {figures['cpu_us']} us a tick, load {figures['load']}"
        )
        aim = MIN_RATE_TO_BASE.get(name)
        result[name] = at_least(ratio["median"], aim, " times", text) if aim else Cell(text)
    return result


def main() -> None:
    """Measure, print and write the figures."""
    if unknown := set(NAMES) - {setup.name for setup in SETUPS}:
        raise SystemExit(f"BENCH_SETUPS has no such setup: {'; '.join(sorted(unknown))}")
    with running_rig() as rig:
        published = {}
        for count in sorted({setup.brokers for setup in CHOSEN}):
            published[str(count)] = rig.publish(count, TICKS) | {"log_bytes_a_tick": rig.log_bytes_a_tick(count, TICKS)}
            print(f"publish to {count}: {as_line(published[str(count)])}", flush=True)
        rounds = [one_round(rig, number) for number in range(ROUNDS)]
    figures = {reader: summary([each[reader] for each in rounds]) for reader in READERS}
    for reader, drained in figures.items():
        for name, cell in cells(drained).items():
            print(f"READER={reader:6} {name}: {cell.measured}{cell.aim and f', aim {cell.aim}: '}{cell.verdict}")
    RESULTS.mkdir(exist_ok=True)
    target = RESULTS / f"{datetime.now(UTC):%Y-%m-%dT%H%M%S}-cluster.json"
    measured = {"ticks": TICKS, "batch": BATCH, "publish": published, "rounds": rounds, "figures": figures}
    target.write_text(json.dumps({**machine(), **measured}, indent=2) + "\n")
    print(f"written: {target}")


if __name__ == "__main__":
    main()
