"""The contenders of the drain: the job with each reader, and the peers in bench/peers, all started the same way."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import psutil

from bench.broker import start_job
from tests.support.stack import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.stack import Stack

MAX_END_SECONDS = 120


@dataclass(frozen=True)
class Started:
    """A running contender.

    Attributes:
        table: the Delta table that it fills
        log: the file with its output
        top: returns the root of its process tree, once it exists
        has_failed: whether it has ended with an error
        finish: waits until it ends, or stops it if it would not end; returns its exit code

    """

    table: Path
    log: Path
    top: Callable[[], psutil.Process]
    has_failed: Callable[[], bool]
    finish: Callable[[], int]


def job(reader: str, stack: Stack) -> Started:
    """Start the job with its defaults and a reader; it runs until it is stopped."""
    run, lake = start_job(stack, READER=reader)
    return Started(lake.ticks, run.log, lambda: run.role_process("spark-job"), lambda: run.process.poll() is not None, run.stop)


def peer(name: str, stack: Stack) -> Started:
    """Start a peer: `python -m bench.peers.NAME BOOTSTRAP TOPIC FOLDER [PARTITION:END,...]`; it ends by itself."""
    table = stack.folder / f"{name}-{time.time_ns()}"
    log = table.with_suffix(".log")
    ends = ",".join(f"{partition}:{end}" for partition, end in stack.end_offsets().items())
    command = [sys.executable, "-m", f"bench.peers.{name}", stack.bootstrap, stack.topic, str(table), ends]
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
    return Started(
        table,
        log,
        partial(psutil.Process, process.pid),
        lambda: process.poll() not in {None, 0},
        partial(process.wait, MAX_END_SECONDS),
    )


CONTENDERS: dict[str, Callable[[Stack], Started]] = {
    "spark": partial(job, "spark"),
    "direct": partial(job, "direct"),
    "loop": partial(peer, "loop"),
    "idiomatic": partial(peer, "idiomatic"),
    "kafkarrow": partial(peer, "kafkarrow_loop"),
}


class CommittedRows:
    """Counts the rows added to a table by any writer, from its log; each entry is read once."""

    def __init__(self, table: Path) -> None:
        """Begin at the table's first version."""
        self._log = table / "_delta_log"
        self._version = 0
        self._rows = 0

    def count(self) -> int:
        """Read the entries since the last call and return the total; rewritten rows (`dataChange` false) do not count."""
        while (entry := self._log / f"{self._version:020d}.json").exists():
            self._rows += sum(map(_added_rows, entry.read_bytes().splitlines()))
            self._version += 1
        return self._rows


def _added_rows(action: bytes) -> int:
    added = json.loads(action).get("add")
    return int(json.loads(added["stats"])["numRecords"]) if added and added["dataChange"] else 0
