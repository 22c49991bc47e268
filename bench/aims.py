"""The aims of the benchmark figures, and table cells that show whether they are met."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LATENCY_RATE = 20_000
MAX_DEFAULT_P50_MS = 900
MAX_GROWTH = 1.3
MAX_FIRST_ROW_SECONDS = 18
MIN_PRODUCER_RATE = 400_000
MAX_PRODUCER_CPU_US = 3
MAX_BARS_MS = 25
MAX_LIVE_BYTES = 12
MAX_MAINTAINED_BYTES = 9
# A lake in an object store, against one on disk on the same machine.
MIN_BUCKET_DRAIN_RATIO = 0.7
MIN_BUCKET_VERIFY_RATIO = 0.5
MAX_BUCKET_BATCH_MORE_MS = 250
MAX_TAKE_OVER_SECONDS = 40


@dataclass(frozen=True)
class ReaderAims:
    """Aims for the job with a reader; ratios are relative to the peers, times are in milliseconds."""

    min_rate_to_loop: float
    max_cpu_to_loop: float
    min_rate_to_idiomatic: float
    min_sustained: int
    max_p50_ms: int
    max_p99_ms: int
    max_batch_ms: int
    max_peak_mb: int


AIMS = {
    "spark": ReaderAims(1.6, 1.0, 1.5, 200_000, 400, 800, 300, 1800),
    "direct": ReaderAims(1.9, 0.9, 2.0, 250_000, 300, 600, 220, 1300),
}


class Cell(NamedTuple):
    """A figure as text, its aim, and whether it is met; None if there is no aim."""

    measured: str = "not measured"
    aim: str = ""
    met: bool | None = None

    @property
    def verdict(self) -> str:
        """The result in words; empty without an aim."""
        return "" if self.met is None else "reached" if self.met else "NOT reached"


def at_least(value: float, aim: float, unit: str = "", measured: str = "") -> Cell:
    """Return the cell of a figure that must not be below its aim."""
    return Cell(measured or f"{value:,}{unit}", f">= {aim:,}{unit}", value >= aim)


def at_most(value: float, aim: float, unit: str = "", measured: str = "") -> Cell:
    """Return the cell of a figure that must not be above its aim."""
    return Cell(measured or f"{value:,}{unit}", f"<= {aim:,}{unit}", value <= aim)


def of_reader(figures: Mapping[str, Any], reader: str) -> dict[str, Cell]:
    """Return the figures of the job with a reader as cells by name."""
    aims, growth = AIMS[reader], figures["growth"][reader]
    sustained = max((each["rate"] for each in figures["sustained"][reader] if each["sustained"]), default=0)
    return {
        **_drain(figures["drain"], reader, aims),
        "sustained, all on these cores": at_least(sustained, aims.min_sustained, " /s"),
        **dict(_latency(measured, aims) for measured in figures["latency"][reader]),
        "batch at 100 /s, warm": at_most(figures["batch"][reader]["median_ms"], aims.max_batch_ms, " ms"),
        f"batch at commit {growth['marks'][-1]['commit']:,} / 100": at_most(growth["ratio"], MAX_GROWTH),
    }


def _drain(drained: Mapping[str, Any], reader: str, aims: ReaderAims) -> dict[str, Cell]:
    if reader not in drained["contenders"]:
        return {}
    ours, ratios = drained["contenders"][reader], drained["ratios"][reader]
    return {
        "drain, warm": Cell(f"{ours['rate']:,.0f} /s"),
        "drain / loop": _ratio(ratios, "loop", "rate", at_least, aims.min_rate_to_loop),
        "CPU / loop": _ratio(ratios, "loop", "cpu", at_most, aims.max_cpu_to_loop),
        "drain / idiomatic": _ratio(ratios, "idiomatic", "rate", at_least, aims.min_rate_to_idiomatic),
        "CPU / idiomatic": _ratio(ratios, "idiomatic", "cpu"),
        "peak memory, drain": at_most(round(ours["peak_mb"]), aims.max_peak_mb, " MB"),
        "bytes a tick, live": at_most(ours["bytes_a_tick"], MAX_LIVE_BYTES),
    }


def _ratio(
    ratios: Mapping[str, Any], baseline: str, name: str, judge: Callable[..., Cell] | None = None, aim: float = 0
) -> Cell:
    if baseline not in ratios:
        return Cell()
    ratio = ratios[baseline][name]
    text = _spread(ratio)
    return judge(ratio["median"], aim, measured=text) if judge else Cell(text)


def _latency(measured: Mapping[str, Any], aims: ReaderAims) -> tuple[str, Cell]:
    p50, p99, rate = measured["p50_ms"], measured["p99_ms"], measured["rate"]
    text = f"p50 {p50}, p99 {p99} ms"
    if measured["trigger_seconds"]:
        return f"latency at {rate:,} /s, defaults", at_most(p50, MAX_DEFAULT_P50_MS, " ms", text)
    name = f"latency at {rate:,} /s, trigger 0"
    if rate != LATENCY_RATE:
        return name, Cell(text)
    met = p50 <= aims.max_p50_ms and p99 <= aims.max_p99_ms
    return name, Cell(text, f"<= {aims.max_p50_ms}, {aims.max_p99_ms} ms", met)


def of_lake(figures: Mapping[str, Any]) -> dict[str, Cell]:
    """Return the figures that do not depend on the reader, and those of the peers, as cells by name."""
    start, producer = figures["start"], figures["drain"]["producer"]
    peers = {name: drained for name, drained in figures["drain"]["contenders"].items() if name not in AIMS}
    before, after = figures["layout"]["before"], figures["layout"]["after"]
    return {
        "first row of make local": at_most(start["first_row_seconds"], MAX_FIRST_ROW_SECONDS, " s"),
        "memory, default rate": Cell(f"{start['memory_mb']['total']:.0f} MB"),
        "producer": at_least(producer["ticks_per_second"], MIN_PRODUCER_RATE, " /s"),
        "producer, CPU": at_most(producer["cpu_us_a_tick"], MAX_PRODUCER_CPU_US, " us"),
        **{f"drain of {name}, warm": Cell(_drained(peer)) for name, peer in peers.items()},
        "bars of one symbol, as stored": Cell(_bars(before)),
        "bars of one symbol, maintained": at_most(after["query_ms"], MAX_BARS_MS, " ms", _bars(after)),
        "bytes a tick, maintained": at_most(after["bytes_a_tick"], MAX_MAINTAINED_BYTES),
    }


def of_object_store(figures: Mapping[str, Mapping[str, float]]) -> dict[str, Cell]:
    """Return the figures of a lake in an object store, each given as median and extremes, as cells by name."""
    judged = {
        "drain_ratio": ("drain, bucket / disk", at_least, MIN_BUCKET_DRAIN_RATIO),
        "verify_ratio": ("verify --values, bucket / disk", at_least, MIN_BUCKET_VERIFY_RATIO),
        "batch_more_ms": ("ms by which a small batch is slower", at_most, MAX_BUCKET_BATCH_MORE_MS),
        "take_over_s": ("seconds until another driver's first row", at_most, MAX_TAKE_OVER_SECONDS),
    }
    return {
        title: judge(figures[name]["median"], aim, measured=_spread(figures[name]))
        for name, (title, judge, aim) in judged.items()
        if name in figures
    }


def _spread(of: Mapping[str, float]) -> str:
    return f"{of['median']} ({of['min']} to {of['max']})"


def _drained(drained: Mapping[str, float]) -> str:
    return f"{drained['rate']:,.0f} /s, {drained['cpu_us']} us, {drained['peak_mb']:.0f} MB"


def _bars(layout: Mapping[str, Any]) -> str:
    return f"{layout['query_ms']} ms (slowest {layout['slowest_query_ms']})"
