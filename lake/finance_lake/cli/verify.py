"""`financelake verify`: prove that the tables hold the topic. The verdict is printed, and saved in data/run/verdict.json."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from finance_lake.cli.app import AsJson, Data, further_command, hint, say
from finance_storage.errors import FILL

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Progress

    from finance_storage.paths import LakePaths
    from finance_verify.context import VerifyContext
    from finance_verify.verdict import Report


def verify(
    *,
    as_json: AsJson = False,
    data: Data = None,
    no_broker: Annotated[bool, typer.Option("--no-broker", help="Check the files only, without the broker.")] = False,
    values: Annotated[
        bool, typer.Option("--values", help="Read the topic again and compare every value; compare stored bars.")
    ] = False,
) -> None:
    """Prove that the tables hold each record of the topic once, unchanged.

    Exit codes: 0 complete, 10 behind, 11 gap, 12 duplicate, 13 corrupt,
    14 identity mismatch, 15 a producer's own gap or duplicate, 16 altered,
    17 a stored bar that is not what its ticks say.
    If several apply: the first of 14, 13, 11, 12, 16, 17, 15, 10.
    1 if no broker answers, or if the lake is complete but its verdict cannot be saved.
    """
    import json
    from functools import partial

    from finance_kafka import describe, range_reader
    from finance_lake.cli.display import progress
    from finance_lake.config import Settings
    from finance_role.beneath import IrregularError
    from finance_role.settings import settings_or_exit
    from finance_storage.paths import LakePaths
    from finance_verify.context import VerifyContext
    from finance_verify.verdict import save_verdict

    if values and no_broker:
        raise typer.BadParameter("--values reads the topic, so it cannot be combined with --no-broker")
    settings = settings_or_exit(Settings)
    where = settings.broker_addresses, settings.kafka_topic
    paths = LakePaths(data) if data else LakePaths.of(settings)
    with progress() as bar:
        context = VerifyContext(
            topic=settings.kafka_topic,
            ask=None if no_broker else partial(describe.describe_topic, *where),
            read_topic=partial(range_reader.read_ranges, *where) if values else None,
            advance=_advancing(bar),
        )
        report = _judged(paths, context)
        if values:
            report = with_bars(report, paths)
    print(json.dumps(report.as_json()) if as_json else report.as_text())
    try:
        save_verdict(paths, report, with_broker=not no_broker)
    except IrregularError as error:
        say(f"The verdict cannot be saved: {error}.")
        raise typer.Exit(int(report.code) or 1) from None
    if not as_json:
        hint(_next(report))
    raise typer.Exit(int(report.code))


def _judged(paths: LakePaths, context: VerifyContext) -> Report:
    from finance_kafka.describe import BrokerUnavailableError, TopicNotFoundError
    from finance_verify.verdict import Code, Finding, Report
    from finance_verify.verify import verify as judge

    try:
        return judge(paths, context)
    except TopicNotFoundError as error:
        return Report((Finding(Code.IDENTITY, f"{error}, which the lake holds"),))
    except BrokerUnavailableError as error:
        say(f"{error}. Start it, or check the files only with --no-broker.")
        raise typer.Exit(1) from None


def with_bars(report: Report, paths: LakePaths) -> Report:
    """Add how the stored bars compare with their ticks, as a finding or a note."""
    from dataclasses import replace

    from finance_storage.errors import LakeError
    from finance_verify.verdict import Code, Finding

    try:
        from finance_lake.derived import reconcile, stored
        from finance_lake.lake import Lake

        if not stored(paths):
            return report
        with Lake(paths) as lake:
            found = reconcile(lake)
    except (LakeError, ModuleNotFoundError) as error:  # the job's image has no DuckDB
        return replace(report, notes=(*report.notes, f"stored bars were not compared: {error}"))
    if not len(found.differing):
        equal = f"{found.bars:,} stored bars equal their ticks as of version {found.as_of}"
        return replace(report, notes=(*report.notes, equal))
    first = found.differing.rows()[0]
    what = (
        f"{len(found.differing):,} of {found.bars:,} stored bars differ from their ticks as of version {found.as_of}, "
        f"such as {first['symbol']} {first['ts']:%Y-%m-%dT%H:%M}: `financelake reconcile` lists them"
    )
    return replace(report, findings=(*report.findings, Finding(Code.DERIVED, what)))


def _advancing(bar: Progress) -> Callable[[int, int], None]:
    task = bar.add_task("reading", total=None)
    return lambda rows, of: bar.update(task, completed=rows, total=of)


def _next(report: Report) -> str:
    from finance_verify.verdict import Code

    if report.code is Code.COMPLETE:
        return further_command(report.figures.quarantined) if report.figures.rows else FILL
    if report.code is Code.BEHIND:
        return "`financelake status` shows how far the tables are behind."
    if report.code in {Code.IDENTITY, Code.PRODUCER, Code.DERIVED}:
        return "docs/RELIABILITY.md lists the possible causes and their fixes."
    return "`make recover` shows how it would repair the tables, and asks before it changes anything."
