"""`financelake`, the command: what it is asked comes in, a verdict goes out. In a container: `python -m finance_lake`."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path  # noqa: TC003 (typer reads the annotations)
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from finance_lake.config import Settings
from finance_lake.proof.verdict import Code, Finding, Report
from finance_lake.proof.verify import NoLakeError
from finance_lake.proof.verify import verify as judge
from finance_lake.proof.world import World
from finance_lake.quarantine import quarantined
from finance_lake.state import topic
from finance_lake.state.broker import NoTopicError, SilentError, ask
from finance_lake.state.layout import Layout
from finance_role.settings import USAGE, settings_or_exit

if TYPE_CHECKING:
    from collections.abc import Callable

app = typer.Typer(
    help="FinanceLake: what is in the lake, and whether it is all there.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def financelake() -> None:
    """FinanceLake: what is in the lake, and whether it is all there."""


@app.command()
def verify(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
    data: Annotated[Path | None, typer.Option(help="The lake's folder (default: DATA_DIR, or data).")] = None,
    no_broker: Annotated[bool, typer.Option("--no-broker", help="Judge the files alone.")] = False,
    values: Annotated[bool, typer.Option("--values", help="Read the topic again and compare every value.")] = False,
) -> None:
    """Prove that the tables hold each record of the topic once, as it was.

    Exit codes: 0 complete, 10 behind, 11 gap, 12 duplicate, 13 corrupt, 14 identity mismatch, 15 a producer's own gap or
    duplicate, 16 altered; where several apply, the first of 14, 13, 11, 12, 16, 15, 10.
    """
    if values and no_broker:
        raise typer.BadParameter("--values reads the topic, which --no-broker leaves alone")
    settings = settings_or_exit(Settings)
    where = settings.bootstrap, settings.kafka_topic
    with _bar() as progress:
        world = World(
            topic=settings.kafka_topic,
            ask=None if no_broker else partial(ask, *where),
            read_topic=partial(topic.read, *where) if values else None,
            advance=_shown(progress),
        )
        report = _judged(Layout(data or settings.data_dir), world)
    print(json.dumps(report.as_json()) if as_json else as_text(report))
    raise typer.Exit(int(report.code))


@app.command()
def quarantine(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
    data: Annotated[Path | None, typer.Option(help="The lake's folder (default: DATA_DIR, or data).")] = None,
    samples: Annotated[int, typer.Option(min=0, max=1000, help="How many records of each reason to show.")] = 3,
) -> None:
    """Show what was quarantined: how many records of each reason, and the newest of them, escaped."""
    layout = Layout(data or settings_or_exit(Settings).data_dir)
    found = quarantined(layout.quarantine, samples)
    if found is None:
        _say(f"There is no lake at {layout.root} yet. `make local` or `make up` makes one.")
        raise typer.Exit(USAGE)
    if as_json:
        print(json.dumps({"counts": found.counts, "samples": [sample._asdict() for sample in found.samples]}))
        return
    for reason, count in found.counts.items():
        print(f"{count:>12,}  {reason}")
    for sample in found.samples:
        value = "no value" if sample.value is None else f"{sample.value_length:,} bytes: {sample.value}"
        print(f"{sample.reason} at {sample.partition}:{sample.offset}, {sample.arrived}: {sample.detail}; {value}")
    next_step = "`make redrive REASON=...` moves those that the rules of today let pass." if found.counts else ""
    print(f"{sum(found.counts.values()):,} records in quarantine. {next_step}".rstrip())


def as_text(report: Report) -> str:
    """Lay a report out for people; its last line is the verdict."""
    told = report.figures
    producer = f"producers: {report.producer.name.lower()}"
    if told.acknowledged or told.unacknowledged:
        producer += f", {told.acknowledged:,} ticks acknowledged, {told.unacknowledged:,} more in the table"
    lines = [*map(str, report.findings), *(f"note: {note}" for note in report.notes)]
    return "\n".join([*lines, f"pipeline: {report.pipeline.name.lower()}", producer, report.sentence()])


def _judged(layout: Layout, world: World) -> Report:
    try:
        return judge(layout, world)
    except NoLakeError as error:
        _say(str(error))
        raise typer.Exit(USAGE) from None
    except NoTopicError as error:
        return Report((Finding(Code.IDENTITY, f"{error}, which the lake holds"),))
    except SilentError as error:
        _say(f"{error}. Start it, or judge the files alone with --no-broker.")
        raise typer.Exit(1) from None


def _say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")


def _bar() -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("reading"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _shown(progress: Progress) -> Callable[[int, int], None]:
    task = progress.add_task("reading", total=None)
    return lambda rows, of: progress.update(task, completed=rows, total=of)
