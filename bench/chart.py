"""The chart of a full run: rate, CPU, latency and growth, with the peer and the physical limit as lines of reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

mpl.rcParams["svg.hashsalt"] = "financelake"
# Consume, parse and write, each at the pace of the quickest library for it (docs/PERFORMANCE.md).
LIMIT_US = 0.55
OURS, PEER, LIMIT = "#1b6ca8", "#c8742a", "#777777"


def draw(figures: dict[str, Any], target: Path) -> None:
    """Draw all four into one SVG."""
    figure = Figure(figsize=(11, 7), layout="constrained")
    rate, cpu, latency, growth = figure.subplots(2, 2).flat
    _bars(rate, "ticks a second, drain", figures["drain"], "rate")
    _bars(cpu, "CPU microseconds a tick", figures["drain"], "cpu_us")
    cpu.axhline(LIMIT_US, color=LIMIT, linestyle="--", label=f"physical limit, {LIMIT_US} us")
    cpu.legend()
    _latency(latency, figures["latency"])
    _growth(growth, figures.get("growth"))
    figure.savefig(target, metadata={"Date": None})


def _bars(axes: Axes, title: str, drain: dict[str, Any], name: str) -> None:
    values = [drain["job"][name], drain["loop"][name]]
    axes.bar_label(axes.bar(["FinanceLake", "hand-written loop"], values, color=[OURS, PEER]), fmt="{:,g}")
    axes.set_title(title)


def _latency(axes: Axes, latencies: list[dict[str, Any]]) -> None:
    names = [f"{one['rate']:,}/s\ntrigger {one['trigger_seconds']:g} s" for one in latencies]
    for name, style in (("p50_ms", "o"), ("p95_ms", "s"), ("p99_ms", "^")):
        axes.plot(names, [one[name] for one in latencies], style, color=OURS, label=name.removesuffix("_ms"))
    axes.set_title("milliseconds from produced to in the table")
    axes.set_ylim(bottom=0)
    axes.legend()


def _growth(axes: Axes, growth: dict[str, Any] | None) -> None:
    axes.set_title("milliseconds a batch, by commit")
    if growth is None:
        axes.text(0.5, 0.5, "not measured in this run", ha="center")
        return
    axes.plot([one["commit"] for one in growth["marks"]], [one["batch_ms"] for one in growth["marks"]], "o-", color=OURS)
    axes.set_ylim(bottom=0)
