"""A small lake with two symbols, two partitions, a gap and malformed records."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from finance_lake.lake import Lake
from tests.support.lakes import BAD, BuiltLake, made_once

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BEGIN = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
BEGIN_NS = int(BEGIN.timestamp()) * 10**9
SOURCE = "sim-1"


def tick(symbol: str, price: float, seconds: float, **others: int | str) -> bytes:
    """Encode a tick whose event time is `seconds` after BEGIN."""
    return json.dumps({"symbol": symbol, "price": price, "ts_event": BEGIN_NS + round(seconds * 10**9), **others}).encode()


def story(folder: Path) -> BuiltLake:
    """Make a lake: version 1 has AAPL in partition 0, version 2 MSFT in partition 1, version 3 more AAPL, one tick late."""
    lake = BuiltLake(folder, partitions=2)
    lake.store(
        [
            tick("AAPL", 100, 0, size=10, seq=0, source=SOURCE),
            tick("AAPL", 102, 20, size=30, seq=1, source=SOURCE),
            BAD,
            tick("AAPL", 99.5, 40, seq=3, source=SOURCE),
        ]
    )
    lake.store([tick("MSFT", 400, 10, size=1, seq=4, source=SOURCE), tick("MSFT", 401, 70, seq=5, source=SOURCE)], partition=1)
    lake.store([tick("AAPL", 101, 65, size=5, seq=6, source=SOURCE), BAD, tick("AAPL", 98, 30, seq=9, source=SOURCE)])
    return lake


story_copy = made_once(story)


@pytest.fixture
def built(tmp_path: Path) -> BuiltLake:
    """Make the lake for one test."""
    return story_copy(tmp_path / "data")


@pytest.fixture
def lake(built: BuiltLake) -> Iterator[Lake]:
    """Open the lake."""
    opened = Lake(built.paths.root)
    yield opened
    opened.close()
