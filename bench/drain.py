"""Drain: the job as shipped and the peer loop empty the same topic in turn; `python -m bench.drain` prints ratios.

Rates and CPU are taken between the first and the last commit of each, so that neither is charged for its start; the time from
the start of the process to the last commit stands beside them. No figure is shown before both tables hold the same.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import duckdb
import psutil
from deltalake import DeltaTable

from bench.stand import as_line, calibration, cpu_seconds, fill, job, moved, resident_mb, stand
from finance_lake.state.layout import Layout
from finance_lake.state.table import committed_offsets
from tests.stack.pipeline import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.stack.pipeline import Stack

SHORT = bool(os.environ.get("SHORT"))
TICKS = int(os.environ.get("BENCH_TICKS", "6000000" if SHORT else "8000000"))
PAIRS = int(os.environ.get("BENCH_PAIRS", "2" if SHORT else "5"))
MORE_TRIES = 5
# A short run, which asserts loose ratios only, takes the machine as it is.
MOST_MOVED = float("inf") if SHORT else 0.15
POLL_SECONDS = 0.05
COMMIT = re.compile(r"left (\d+) at")


@dataclass(frozen=True)
class Drain:
    """One table filled from the topic.

    Attributes:
        rate: ticks a second, from the first commit to the last
        cpu_us: CPU microseconds a tick of the whole process tree, in the same time
        seconds: from the start of the process to the last commit
        peak_mb: most proportional resident memory that was seen
        bytes_a_tick: of data files

    """

    rate: int
    cpu_us: float
    seconds: float
    peak_mb: float
    bytes_a_tick: float


def watch(start: float, top: Callable[[], psutil.Process], left: Callable[[], int], table: Path) -> Drain:
    """Follow a drain to its end."""
    while (first := left()) == TICKS:
        time.sleep(POLL_SECONDS)
    assert first, f"{TICKS} ticks are a single commit: too few to measure between the first and the last"
    process, began = top(), time.monotonic()
    cpu, peak, looked = cpu_seconds(process), 0.0, 0.0
    used = cpu
    while left():
        used = cpu_seconds(process) or used
        if time.monotonic() - looked > 1:
            peak, looked = max(peak, resident_mb(process)), time.monotonic()
        time.sleep(POLL_SECONDS)
    used = cpu_seconds(process) or used
    ended = time.monotonic()
    size = sum(file.stat().st_size for file in table.rglob("*.parquet") if "_delta_log" not in file.parts)
    return Drain(
        rate=round(first / (ended - began)),
        cpu_us=round((used - cpu) / first * 1e6, 2),
        seconds=round(ended - start, 1),
        peak_mb=peak,
        bytes_a_tick=round(size / TICKS, 2),
    )


def drain_with_job(stack: Stack) -> tuple[Drain, Path]:
    """Run the job, with the settings that it has by default."""
    start = time.monotonic()
    run = job(stack)
    table = Layout(stack.folder / f"lake-{len(stack.runs) - 1}").ticks
    ends = sum(stack.end_offsets().values())
    drain = watch(start, lambda: run.role_process("spark-job"), lambda: ends - sum(committed_offsets(table).values()), table)
    assert run.stop() == 0
    return drain, table


def drain_with_loop(stack: Stack) -> tuple[Drain, Path]:
    """Run the peer."""
    start, ends = time.monotonic(), stack.end_offsets()
    table, log = stack.folder / f"loop-{time.time_ns()}", stack.folder / "loop.log"
    places = ",".join(f"{partition}:{end}" for partition, end in ends.items())
    with log.open("w") as output:
        command = [sys.executable, "-m", "bench.peers.loop", stack.bootstrap, stack.topic, str(table), places]
        process = subprocess.Popen(command, cwd=ROOT, stdout=output)

    def left() -> int:
        assert process.poll() in {None, 0}, log.read_text()
        return min((int(found) for found in COMMIT.findall(log.read_text())), default=sum(ends.values()))

    drain = watch(start, lambda: psutil.Process(process.pid), left, table)
    assert process.wait(60) == 0
    return drain, table


def content(table: Path) -> list[tuple[Any, ...]]:
    """What a table holds, by partition: rows, distinct offsets, the first and the last of them, the sum of prices."""
    query = """select kafka_partition, count(*), count(distinct kafka_offset), min(kafka_offset), max(kafka_offset), sum(price)
               from read_parquet(?) group by 1 order by 1"""
    return duckdb.execute(query, [DeltaTable(str(table)).file_uris()]).fetchall()


def assert_whole(table: Path, ends: dict[int, int]) -> list[tuple[Any, ...]]:
    """Assert that the offsets of the topic are there, each once; return the content."""
    found = content(table)
    for partition, rows, offsets, first, last, _ in found:
        assert (rows, offsets, first, last) == (ends[partition], ends[partition], 0, ends[partition] - 1), (table, found)
    return found


def pair(stack: Stack, number: int) -> dict[str, Any] | None:
    """Drain the topic with both, the job first in every other pair; None where the machine changed its pace meanwhile."""
    before = calibration()
    drains: dict[str, tuple[Drain, Path]] = {}
    for who in (drain_with_job, drain_with_loop)[:: 1 if number % 2 else -1]:
        drains[who.__name__] = who(stack)
    after = calibration()
    ours, peer = drains["drain_with_job"], drains["drain_with_loop"]
    ends = {partition: end for partition, end in stack.end_offsets().items() if end}
    assert assert_whole(ours[1], ends) == assert_whole(peer[1], ends), "the two tables differ"
    figures = {
        "job": asdict(ours[0]),
        "loop": asdict(peer[0]),
        "rate_ratio": round(ours[0].rate / peer[0].rate, 3),
        "cpu_ratio": round(ours[0].cpu_us / peer[0].cpu_us, 3),
        "calibration": [before, after],
    }
    print(f"pair {number}: {as_line(figures)}", flush=True)
    if moved(before, after) > MOST_MOVED:
        print(f"pair {number} is dropped: the machine moved by {moved(before, after):.0%}")
        return None
    return figures


def compare() -> dict[str, Any]:
    """Fill a topic, drain it in pairs, give medians of paired ratios with their extremes."""
    with stand() as stack:
        producer = fill(stack, TICKS)
        tries = (pair(stack, number) for number in range(1, PAIRS + MORE_TRIES + 1))
        pairs = list(islice(filter(None, tries), PAIRS))
    assert len(pairs) == PAIRS, f"the machine was too unsteady: {len(pairs)} good pairs of {PAIRS + MORE_TRIES}"
    return {
        "ticks": TICKS,
        "producer": producer,
        "pairs": pairs,
        "job": _medians([each["job"] for each in pairs]),
        "loop": _medians([each["loop"] for each in pairs]),
        "rate_ratio": _spread([each["rate_ratio"] for each in pairs]),
        "cpu_ratio": _spread([each["cpu_ratio"] for each in pairs]),
    }


def _medians(drains: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(drain[name] for drain in drains) for name in drains[0]}


def _spread(ratios: list[float]) -> dict[str, float]:
    return {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}


if __name__ == "__main__":
    found = compare()
    for name in ("producer", "job", "loop", "rate_ratio", "cpu_ratio"):
        print(f"{name:12} {as_line(found[name])}")
