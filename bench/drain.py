"""Compare the job, with each reader, and its peers draining the same topic: `python -m bench.drain` prints medians and ratios.

A round is one drain by each contender; the order rotates from round to round. Rate and CPU are measured between the first and
the last commit, so that start-up does not count. The time from the start of the process to the last commit is reported too. The
figures of a round are shown only if all its tables hold the same rows. Ratios are computed within a round.

BENCH_TICKS, BENCH_ROUNDS and BENCH_CONTENDERS=spark,direct,loop,idiomatic,kafkarrow change what is run. The job and the
idiomatic pipeline commit MAX_OFFSETS_PER_TRIGGER records at a time, which must be less than half of a small topic.
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import duckdb
from deltalake import DeltaTable

from bench.broker import READERS, publish, running_broker
from bench.contenders import CONTENDERS, CommittedRows
from bench.figures import as_line, medians, spread
from bench.machine import Meter, calibrate, drift

if TYPE_CHECKING:
    from pathlib import Path

    from bench.contenders import Started
    from tests.support.stack import Stack

SHORT = bool(os.environ.get("SHORT"))
TICKS = int(os.environ.get("BENCH_TICKS", "6000000" if SHORT else "8000000"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "2" if SHORT else "5"))
PEERS = ("loop",) if SHORT else ("loop", "idiomatic", "kafkarrow")
NAMES = tuple(os.environ.get("BENCH_CONTENDERS", ",".join((*READERS, *PEERS))).split(","))
BASELINES = ("loop", "idiomatic")
SPARE_ROUNDS = 5
MIN_ROUNDS = min(3, ROUNDS)
# A short run checks only loose ratios and accepts any drift.
MAX_DRIFT = float("inf") if SHORT else 0.15
POLL_SECONDS = 0.05
MAX_SECONDS = 1800


@dataclass(frozen=True)
class Drain:
    """One table filled from the topic.

    Attributes:
        rate: ticks a second, from the first commit to the last
        cpu_us: CPU microseconds a tick of the whole process tree, in the same interval
        seconds: from the start of the process to the last commit
        peak_mb: highest proportional resident memory (PSS) seen after the first commit
        bytes_a_tick: bytes of data files per tick

    """

    rate: int
    cpu_us: float
    seconds: float
    peak_mb: float
    bytes_a_tick: float


def drain(name: str, stack: Stack) -> tuple[Drain, Path]:
    """Drain the topic with a contender; return the figures and the table."""
    print(f"{name} drains", flush=True)
    began = time.monotonic()
    started = CONTENDERS[name](stack)
    drained = follow(started, began)
    code = started.finish()
    assert code == 0, f"{name} ended with {code}:\n{started.log.read_text()[-4000:]}"
    return drained, started.table


def follow(started: Started, began: float) -> Drain:
    """Measure a drain until the last row is committed."""
    rows = CommittedRows(started.table)
    first = wait_for_more(started, rows, 0, began)
    assert first < TICKS, f"all {TICKS} ticks are in the first commit, so there is nothing to measure: raise BENCH_TICKS"
    meter, first_commit, done = Meter(started.top()), time.monotonic(), first
    while done < TICKS:
        done = wait_for_more(started, rows, done, began, meter)
    last_commit = time.monotonic()
    return Drain(
        rate=round((done - first) / (last_commit - first_commit)),
        cpu_us=round(meter.cpu / (done - first) * 1e6, 2),
        seconds=round(last_commit - began, 1),
        peak_mb=meter.peak_mb,
        bytes_a_tick=round(data_bytes(started.table) / TICKS, 2),
    )


def wait_for_more(started: Started, rows: CommittedRows, seen: int, began: float, meter: Meter | None = None) -> int:
    """Wait until the table has more than `seen` rows, reading the meter meanwhile; return the number of rows."""
    while (done := rows.count()) == seen:
        assert not started.has_failed(), started.log.read_text()[-4000:]
        assert time.monotonic() - began < MAX_SECONDS, f"{seen} rows of {TICKS}:\n{started.log.read_text()[-4000:]}"
        if meter:
            meter.look()
        time.sleep(POLL_SECONDS)
    if meter:
        meter.look()
    return done


def data_bytes(table: Path) -> int:
    """Return the size of all data files that were written."""
    return sum(file.stat().st_size for file in table.rglob("*.parquet") if "_delta_log" not in file.parts)


def content(table: Path) -> list[tuple[Any, ...]]:
    """Return partition, rows, distinct offsets, first offset, last offset and sum of prices, for each partition of a table."""
    query = """select kafka_partition, count(*), count(distinct kafka_offset), min(kafka_offset), max(kafka_offset), sum(price)
               from read_parquet(?) group by 1 order by 1"""
    return duckdb.execute(query, [DeltaTable(str(table)).file_uris()]).fetchall()


def assert_equal(tables: dict[str, Path], ends: dict[int, int]) -> None:
    """Assert that each table has each offset of the topic once, and that all hold the same prices."""
    contents = {name: content(table) for name, table in tables.items()}
    expected = [(partition, end, end, 0, end - 1) for partition, end in sorted(ends.items()) if end]
    for name, rows in contents.items():
        assert [row[:-1] for row in rows] == expected, f"{name} does not hold the topic {expected}: {rows}"
    first = contents[next(iter(contents))]
    assert all(rows == first for rows in contents.values()), f"the tables differ: {contents}"


def drain_all(stack: Stack, number: int) -> dict[str, Any] | None:
    """Run one round with all contenders; return None if the machine's speed has changed meanwhile."""
    turn = number % len(NAMES)
    calibrations, drains, tables = [calibrate()], {}, {}
    for name in NAMES[turn:] + NAMES[:turn]:
        drains[name], tables[name] = drain(name, stack)
        calibrations.append(calibrate())
    assert_equal(tables, stack.end_offsets())
    for name in NAMES:
        print(f"round {number}: {name:10} {as_line(asdict(drains[name]))}", flush=True)
    if drift(calibrations) > MAX_DRIFT:
        print(f"round {number} is dropped: the machine's speed changed by {drift(calibrations):.0%}")
        return None
    return {"drains": {name: asdict(drains[name]) for name in NAMES}, "calibrations": calibrations}


def ratios(rounds: list[dict[str, Any]], name: str, baseline: str) -> dict[str, dict[str, float]]:
    """Return rate and CPU of a contender as ratios to a baseline within each round."""
    drains = [each["drains"] for each in rounds]
    figures = {"rate": "rate", "cpu": "cpu_us"}
    return {ratio: spread([each[name][of] / each[baseline][of] for each in drains]) for ratio, of in figures.items()}


def compare() -> dict[str, Any]:
    """Fill a topic and drain it in rounds; return medians, and medians of paired ratios with their extremes."""
    with running_broker() as stack:
        producer = publish(stack, TICKS)
        tries = (drain_all(stack, number) for number in range(ROUNDS + SPARE_ROUNDS))
        rounds = list(islice(filter(None, tries), ROUNDS))
    assert len(rounds) >= MIN_ROUNDS, f"the machine was too unsteady: {len(rounds)} good rounds of {ROUNDS + SPARE_ROUNDS}"
    baselines = [name for name in BASELINES if name in NAMES]
    return {
        "ticks": TICKS,
        "producer": producer,
        "rounds": rounds,
        "contenders": {name: medians([each["drains"][name] for each in rounds]) for name in NAMES},
        "ratios": {
            name: {baseline: ratios(rounds, name, baseline) for baseline in baselines if baseline != name} for name in NAMES
        },
    }


def main() -> None:
    """Print medians and ratios."""
    results = compare()
    print(f"producer   {as_line(results['producer'])}")
    for name, figures in results["contenders"].items():
        print(f"{name:10} {as_line(figures)}")
        for baseline, compared in results["ratios"][name].items():
            print(f"{name:10} / {baseline}: {as_line(compared)}")


if __name__ == "__main__":
    main()
