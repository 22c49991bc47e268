"""Measure the lake with its default settings: `make bench`. Prints tables; writes bench/results/<date>.json and .svg.

It runs ZooKeeper, Kafka, producer and job as `make local` does, in scratch folders. Run nothing else meanwhile. `SHORT=1` takes
a few minutes and writes nothing. It fails if tables differ or if the job, with either reader, is far slower than the loop.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import drain
from bench.aims import Cell, of_lake, of_reader
from bench.batch import batches
from bench.broker import READERS
from bench.chart import draw
from bench.growth import growth
from bench.latency import latencies
from bench.layout import before_and_after
from bench.start import start
from bench.sustained import highest

RESULTS = Path(__file__).parent / "results"
LIBRARIES = ("pyspark", "delta-spark", "deltalake", "confluent-kafka", "kafkarrow", "pyarrow", "msgspec", "numpy")
COMMITS = int(os.environ.get("BENCH_COMMITS", "5000"))
LOOSE_RATIO = 0.6
TABLE_WIDTH = 160


def machine() -> dict[str, Any]:
    """Return the machine and the versions that the figures were measured with."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "versions": {name: version(name) for name in LIBRARIES},
    }


def show(figures: dict[str, Any]) -> None:
    """Print two tables: the figures of the job with each reader, and those that do not depend on the reader."""
    by_reader = {reader: of_reader(figures, reader) for reader in READERS}
    readers = Table("the job", *(title for reader in READERS for title in (f"READER={reader}", "aim", "")), box=None)
    for name in by_reader[READERS[0]]:
        cells = [cells.get(name, Cell()) for cells in by_reader.values()]
        readers.add_row(name, *(text for cell in cells for text in (cell.measured, cell.aim, cell.verdict)))
    lake = Table("the lake and the peers", "measured", "aim", "", box=None)
    for name, cell in of_lake(figures).items():
        lake.add_row(name, cell.measured, cell.aim, cell.verdict)
    Console(width=TABLE_WIDTH).print(readers, lake, sep="\n\n")


def short() -> int:
    """Run two rounds of small drains; return 1 if the job is far slower than the loop."""
    results = drain.compare()
    rates = {reader: results["ratios"][reader]["loop"]["rate"]["median"] for reader in READERS}
    for reader, ratio in rates.items():
        rate = results["contenders"][reader]["rate"]
        print(f"READER={reader}: {rate:,.0f} ticks/s, {ratio} times the loop; the tables are equal")
    return 0 if min(rates.values()) >= LOOSE_RATIO else 1


def main() -> int:
    """Run all benchmarks, then print and write the figures."""
    if os.environ.get("SHORT"):
        return short()
    figures = {
        **machine(),
        "start": start(),
        "drain": drain.compare(),
        "batch": batches(),
        "latency": latencies(),
        "sustained": highest(),
        "layout": before_and_after(),
        "growth": growth(COMMITS),
    }
    RESULTS.mkdir(exist_ok=True)
    target = RESULTS / f"{datetime.now(UTC):%Y-%m-%dT%H%M%S}.json"
    target.write_text(json.dumps(figures, indent=2) + "\n")
    draw(figures, target.with_suffix(".svg"))
    show(figures)
    print(f"written: {target.relative_to(Path.cwd())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
