"""Run `financelake import`, `sources` and `forget` as a user does, and compare what is in the table."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from finance_lake.lake import Lake
from finance_role.environment import composed

if TYPE_CHECKING:
    from decimal import Decimal

    from tests.support.stack import Stack

FINANCELAKE = str(Path(sys.executable).with_name("financelake"))


class Stored(NamedTuple):
    """A tick in the table."""

    symbol: str
    price: Decimal
    size: int | None
    ts_event: int | None


def environment(stack: Stack) -> dict[str, str]:
    """Return what the command needs to find a test's lake."""
    lake = {"DATA_DIR": str(stack.paths.root), "KAFKA_BOOTSTRAP": stack.bootstrap, "KAFKA_TOPIC": stack.topic}
    return composed({**lake, "ENV_FILE": os.devnull, "JVM_OF_TESTS": stack.jvm}, settings=False)


def financelake(stack: Stack, *arguments: str | Path, stdin: bytes | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, in the test's folder."""
    run = subprocess.run(
        [FINANCELAKE, *map(str, arguments)],
        cwd=stack.folder,
        env=environment(stack),
        input=stdin,
        stdin=None if stdin is not None else subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    return subprocess.CompletedProcess(run.args, run.returncode, run.stdout.decode(), run.stderr.decode())


def stored(stack: Stack, source: str = "") -> list[Stored]:
    """Return the ticks in the table, of one source or of all, by source and number."""
    with Lake(stack.paths.root) as lake:
        ticks = lake.ticks().arrow.sort_by([("source", "ascending"), ("seq", "ascending")])
    return [
        Stored(row["symbol"], row["price"], row["size"], _nanoseconds(row))
        for row in ticks.select(["symbol", "price", "size", "ts_event", "ts_event_nanos", "source"]).to_pylist()
        if not source or row["source"] == source
    ]


def _nanoseconds(row: dict[str, object]) -> int | None:
    from datetime import UTC, datetime, timedelta  # noqa: PLC0415

    moment = row["ts_event"]
    if not isinstance(moment, datetime):
        return None
    microseconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return microseconds * 1000 + int(str(row["ts_event_nanos"] or 0))
