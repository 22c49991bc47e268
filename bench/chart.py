"""Draw the chart of a full run: rate, CPU, latency and growth of the job with each reader, the peers and the physical limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

mpl.rcParams["svg.hashsalt"] = "financelake"
# Consume, parse and write, each at the speed of the fastest library for it (docs/PERFORMANCE.md).
LIMIT_US = 0.55
READERS = {"spark": "#1b6ca8", "direct": "#2a9d8f"}
PEER, LIMIT = "#c8742a", "#777777"
NAMES = {"loop": "hand-written\nloop", "idiomatic": "idiomatic\nSpark"}


def draw(figures: dict[str, Any], target: Path) -> None:
    """Draw all four plots into one SVG."""
    figure = Figure(figsize=(11, 7), paths="constrained")
    rate, cpu, latency, growth = figure.subplots(2, 2).flat
    _bars(rate, "ticks a second, drain", figures["drain"], "rate")
    _bars(cpu, "CPU microseconds a tick", figures["drain"], "cpu_us")
    cpu.axhline(LIMIT_US, color=LIMIT, linestyle="--", label=f"physical limit, {LIMIT_US} us")
    cpu.legend()
    _latency(latency, figures["latency"])
    _growth(growth, figures["growth"])
    figure.savefig(target, metadata={"Date": None})


def _bars(axes: Axes, title: str, drain: dict[str, Any], name: str) -> None:
    contenders = drain["contenders"]
    labels = [f"READER=\n{contender}" if contender in READERS else NAMES.get(contender, contender) for contender in contenders]
    colours = [READERS.get(contender, PEER) for contender in contenders]
    axes.bar_label(axes.bar(labels, [figures[name] for figures in contenders.values()], color=colours), fmt="{:,g}")
    axes.set_title(title)


def _latency(axes: Axes, latencies: dict[str, list[dict[str, Any]]]) -> None:
    for reader, measured in latencies.items():
        names = [f"{run['rate']:,}/s\ntrigger {run['trigger_seconds']:g} s" for run in measured]
        for name, style in (("p50_ms", "o"), ("p95_ms", "s"), ("p99_ms", "^")):
            label = f"{reader}, {name.removesuffix('_ms')}"
            axes.plot(names, [run[name] for run in measured], style, color=READERS[reader], label=label)
    axes.set_title("milliseconds from produced to in the table")
    axes.set_ylim(bottom=0)
    axes.legend(ncols=len(latencies))


def _growth(axes: Axes, growth: dict[str, dict[str, Any]]) -> None:
    for reader, grown in growth.items():
        commits = [mark["commit"] for mark in grown["marks"]]
        axes.plot(commits, [mark["batch_ms"] for mark in grown["marks"]], "o-", color=READERS[reader], label=f"READER={reader}")
    axes.set_title("milliseconds a batch, by commit")
    axes.set_ylim(bottom=0)
    axes.legend()
