"""Measure the lake as it is shipped: `make bench`. Prints a table with verdicts; writes bench/results/<date>.json and .svg.

Real ZooKeeper, Kafka, producer and job, as `make local` runs them, on scratch folders. Nothing else should run meanwhile.
`SHORT=1` takes a few minutes, writes nothing, and fails where tables differ or the job is far slower than the loop.
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
from bench.chart import draw
from bench.growth import growth
from bench.latency import latencies
from bench.layout import before_and_after
from bench.start import start
from bench.sustained import highest

RESULTS = Path(__file__).parent / "results"
LIBRARIES = ("pyspark", "delta-spark", "deltalake", "confluent-kafka", "pyarrow", "msgspec", "numpy")
COMMITS = int(os.environ.get("BENCH_COMMITS", "5000"))
LOOSE_RATIO = 0.6


def machine() -> dict[str, Any]:
    """What the figures were taken on and with."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "versions": {name: version(name) for name in LIBRARIES},
    }


def rows(figures: dict[str, Any]) -> list[tuple[str, str, str, bool | None]]:
    """Lay out each figure with its aim and whether it is met; None where there is none."""
    drained, producer = figures["drain"], figures["drain"]["producer"]
    low = {one["rate"]: one for one in figures["latency"] if one["trigger_seconds"] == 0}
    usual = next(one for one in figures["latency"] if one["trigger_seconds"])
    sustained = max((one["rate"] for one in figures["sustained"] if one["sustained"]), default=0)
    grown = figures["growth"]["ratio"]
    rate, cpu, ours = drained["rate_ratio"], drained["cpu_ratio"], drained["job"]
    before, after = figures["layout"]["before"], figures["layout"]["after"]
    return [
        ("first row", f"{figures['start']['first_row_seconds']} s", "25 s", figures["start"]["first_row_seconds"] <= 25),
        ("memory, default rate", f"{figures['start']['memory_mb']['total']:.0f} MB", "", None),
        ("producer", f"{producer['ticks_per_second']:,} /s", "400,000 /s", producer["ticks_per_second"] >= 400_000),
        ("producer, CPU", f"{producer['cpu_us_a_tick']} us", "3 us", producer["cpu_us_a_tick"] <= 3),
        ("drain, warm", f"{ours['rate']:,.0f} /s", "400,000 /s", ours["rate"] >= 400_000),
        ("drain / loop", f"{rate['median']} ({rate['min']} to {rate['max']})", "1.5", rate["median"] >= 1.5),
        ("CPU / loop", f"{cpu['median']} ({cpu['min']} to {cpu['max']})", "1.25", cpu["median"] <= 1.25),
        ("peak memory of the job", f"{ours['peak_mb']:.0f} MB", "1,600 MB", ours["peak_mb"] <= 1600),
        ("bytes a tick, live", f"{ours['bytes_a_tick']}", "12", ours["bytes_a_tick"] <= 12),
        ("sustained, all on these cores", f"{sustained:,} /s", "150,000 /s", sustained >= 150_000),
        *(
            (f"latency at {rate:,} /s, trigger 0", f"p50 {one['p50_ms']}, p99 {one['p99_ms']} ms", *_aim(rate, one))
            for rate, one in low.items()
        ),
        (f"latency at {usual['rate']:,} /s, defaults", f"p50 {usual['p50_ms']} ms", "900 ms", usual["p50_ms"] <= 900),
        ("bars of one symbol, as stored", _bars(before), "", None),
        ("bars of one symbol, maintained", _bars(after), "25 ms", after["query_ms"] <= 25),
        ("bytes a tick, maintained", f"{after['bytes_a_tick']}", "9", after["bytes_a_tick"] <= 9),
        (f"batch at commit {figures['growth']['marks'][-1]['commit']:,} / 100", f"{grown}", "1.3", grown <= 1.3),
    ]


def _bars(layout: dict[str, Any]) -> str:
    return f"{layout['query_ms']} ms (slowest {layout['slowest_query_ms']})"


def _aim(rate: int, one: dict[str, Any]) -> tuple[str, bool | None]:
    return ("300, 600 ms", one["p50_ms"] <= 300 and one["p99_ms"] <= 600) if rate == 20_000 else ("", None)


def show(figures: dict[str, Any]) -> None:
    """Print the table."""
    table = Table("figure", "measured", "aim", "", box=None)
    for name, measured, aim, met in rows(figures):
        table.add_row(name, measured, aim, "" if met is None else "reached" if met else "NOT reached")
    Console().print(table)


def short() -> int:
    """Two pairs of small drains; 1 if the job is far slower than the loop."""
    found = drain.compare()
    ratio = found["rate_ratio"]["median"]
    print(f"drain: {found['job']['rate']:,.0f} ticks/s, {ratio} times the loop; both tables are equal")
    return 0 if ratio >= LOOSE_RATIO else 1


def main() -> int:
    """Run all, print, write."""
    if os.environ.get("SHORT"):
        return short()
    figures = {
        **machine(),
        "start": start(),
        "drain": drain.compare(),
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
