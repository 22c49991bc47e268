"""Measure the sustained rate of producer, broker and job on the same cores, with each reader: `python -m bench.sustained`.

Each rate runs for two minutes. It is sustained if the ticks published but not yet stored, in seconds of publishing, stay below
a limit in the second half, and if the producer keeps the rate.
"""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING, Any

from bench.broker import READERS, running_broker, start_job
from bench.figures import as_line
from tests.support.stack import wait_until

if TYPE_CHECKING:
    from tests.support.stack import Stack

RATES = [int(rate) for rate in os.environ.get("BENCH_SUSTAINED", "150000,200000,250000").split(",")]
SECONDS = float(os.environ.get("BENCH_SUSTAINED_SECONDS", "120"))
MAX_SECONDS_BEHIND = 10.0
LINE = re.compile(r"batch id=\d+ rows=(\d+).* lag=(\d+)")
PUBLISHED = re.compile(r"publishing per_second=([0-9.]+)")


def sustain(stack: Stack, reader: str, rate: int) -> dict[str, Any]:
    """Publish at a rate while the job runs; return how far behind the job was in the second half."""
    run = start_job(stack, READER=reader).run
    run.wait_for("connected")
    producer = stack.run("producer", TICKS_PER_SECOND=rate)
    run.wait_for("batch id=1 ", 300)
    half = time.monotonic() + SECONDS / 2
    wait_until(lambda: time.monotonic() > half, SECONDS, "the first half")
    seen = run.count("batch id=")
    end = time.monotonic() + SECONDS / 2
    wait_until(lambda: time.monotonic() > end, SECONDS, "the second half")
    batches = LINE.findall(run.text())[seen:]
    published = [float(per_second) for per_second in PUBLISHED.findall(producer.text())][-int(SECONDS / 20) :]
    behind = max(int(lag) for _, lag in batches) / rate
    producer.stop()
    run.stop()
    figures = {
        "rate": rate,
        "published_per_second": round(sum(published) / len(published)),
        "max_seconds_behind": round(behind, 2),
        "sustained": behind < MAX_SECONDS_BEHIND and min(published) > 0.95 * rate,
    }
    print(f"sustained, {reader}: {as_line(figures)}", flush=True)
    return figures


def highest() -> dict[str, list[dict[str, Any]]]:
    """Measure the sustained rates with each reader."""
    return {reader: highest_of(reader) for reader in READERS}


def highest_of(reader: str) -> list[dict[str, Any]]:
    """Try the rates in order until one is not sustained."""
    figures: list[dict[str, Any]] = []
    for rate in RATES:
        with running_broker() as stack:
            figures.append(sustain(stack, reader, rate))
        if not figures[-1]["sustained"]:
            break
    return figures


if __name__ == "__main__":
    highest()
