"""Estimate what a rate of ticks needs, from measured costs: `python -m bench.capacity` prints the tables of docs/SCALING.md.

The estimate is linear: a stage needs its CPU per tick times the rate. Half of each core stays free, so that a backlog drains as
fast as it grew. What two cores do not show is not in it: networks, stragglers, rebalancing.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

DAY_SECONDS = 86_400
MONTH_DAYS = 30
MONTH_HOURS = 730
RATES = (1_000, 100_000, 1_000_000, 10_000_000)
HEADROOM = 2.0  # times the CPU that the rate itself takes
MIN_PARTITIONS = 4
MAX_LOCAL_CORES = 8  # of a job without executors; on one machine a cluster costs more than it gives
EXECUTOR_CORES = 4
BROKER_CORES = 4
BROKER_BYTES_PER_SECOND = 100_000_000  # that a broker writes and sends to replicas and readers, each; a network of 2.5 Gbit/s
KAFKA_DAYS = 7
GIGABYTE = 10**9


class Cost(NamedTuple):
    """A measured cost, and the command that measures it."""

    value: float
    unit: str
    command: str


COSTS = {
    "producer": Cost(2.8, "us of CPU a tick", "python -m bench.drain"),
    "broker": Cost(1.2, "us of CPU a tick and replica", "python -m bench.imports"),
    "job, READER=direct": Cost(2.8, "us of CPU a tick", "python -m bench.drain"),
    "job, READER=spark": Cost(3.3, "us of CPU a tick", "python -m bench.drain"),
    "derived tables": Cost(9.1, "us of CPU a tick, both", "python -m bench.derived"),
    "sorting a past date": Cost(1.6, "us of CPU a tick, one thread", "python -m bench.layout"),
    "verify": Cost(0.8, "us of CPU a tick", "python -m bench.verify"),
    "record in Kafka": Cost(142, "bytes a tick and replica", "python -m bench.cluster"),
    "row in the lake": Cost(5.0, "bytes a tick", "python -m bench.drain"),
}


class Prices(NamedTuple):
    """Prices a month, as of a large provider: a core, a gigabyte of a broker's disk, a gigabyte in an object store."""

    core: float = 0.04 * MONTH_HOURS
    disk_gb: float = 0.08
    store_gb: float = 0.023


class Needs(NamedTuple):
    """What a rate needs.

    Attributes:
        rate: ticks per second
        partitions: of the topic
        job_cores, derived_cores, broker_cores: cores with headroom
        executors: of `EXECUTOR_CORES` cores each; 0 if the job runs in one process
        brokers: each with `BROKER_CORES` cores
        files_a_day: data files that micro-batches write a day, before they are merged
        kafka_gb: that all brokers keep, with all replicas, for `KAFKA_DAYS` days
        lake_gb: what a month adds to the lake
        verify_minutes: CPU minutes to verify a day, without the values in Kafka
        money: a month with these processes and one month of ticks

    """

    rate: int
    partitions: int
    job_cores: int
    derived_cores: int
    executors: int
    brokers: int
    broker_cores: int
    files_a_day: int
    kafka_gb: float
    lake_gb: float
    verify_minutes: float
    money: float


def cores(cost: str, rate: float, headroom: float = HEADROOM) -> float:
    """Return the cores that a stage needs at a rate."""
    return rate * COSTS[cost].value * headroom / 1e6


def needs(rate: int, replicas: int = 3, trigger_seconds: float = 1.0, prices: Prices | None = None) -> Needs:
    """Estimate the needs of a rate in ticks per second."""
    prices = prices or Prices()
    job, derived = ceil(cores("job, READER=direct", rate)), ceil(cores("derived tables", rate))
    stored = rate * COSTS["record in Kafka"].value * replicas
    broker_cores = ceil(cores("broker", rate * replicas))
    brokers = max(replicas, ceil(stored * HEADROOM / BROKER_BYTES_PER_SECOND), ceil(broker_cores / BROKER_CORES))
    kafka_gb = stored * DAY_SECONDS * KAFKA_DAYS / GIGABYTE
    lake_gb = rate * COSTS["row in the lake"].value * DAY_SECONDS * MONTH_DAYS / GIGABYTE
    return Needs(
        rate,
        max(MIN_PARTITIONS, job),
        job,
        derived,
        ceil(job / EXECUTOR_CORES) if job > MAX_LOCAL_CORES else 0,
        brokers,
        broker_cores,
        round(job * DAY_SECONDS / trigger_seconds),
        kafka_gb,
        lake_gb,
        rate * DAY_SECONDS * COSTS["verify"].value / 1e6 / 60,
        (job + derived + brokers * BROKER_CORES) * prices.core + kafka_gb * prices.disk_gb + lake_gb * prices.store_gb,
    )


def number(value: float) -> str:
    """Format to two significant digits."""
    return f"{float(f'{value:.2g}'):,.0f}" if value >= 1 else f"{value:.2g}"


def tables() -> str:
    """Return the needs and the costs as two Markdown tables."""
    found = [needs(rate) for rate in RATES]
    lines = [f"| ticks per second | {' | '.join(f'{each.rate:,}' for each in found)} |", "|---" * (len(found) + 1) + "|"]
    lines += [f"| {LABELS[name]} | {' | '.join(number(getattr(each, name)) for each in found)} |" for name in Needs._fields[1:]]
    lines += ["", "| stage | cost | measured with |", "|---|---|---|"]
    lines += [f"| {stage} | {cost.value:g} {cost.unit} | `{cost.command}` |" for stage, cost in COSTS.items()]
    return "\n".join(lines)


LABELS = {
    "partitions": "partitions",
    "job_cores": "cores of the job",
    "derived_cores": "cores of derived tables",
    "executors": f"executors of {EXECUTOR_CORES} cores (0: one process)",
    "brokers": "brokers, three replicas",
    "broker_cores": "their cores together",
    "files_a_day": "data files a day, before merging",
    "kafka_gb": f"GB in Kafka, {KAFKA_DAYS} days",
    "lake_gb": "GB a month in the lake",
    "verify_minutes": "CPU minutes to verify a day",
    "money": "money a month",
}


def main() -> None:
    """Print the tables."""
    print(tables())


if __name__ == "__main__":
    main()
