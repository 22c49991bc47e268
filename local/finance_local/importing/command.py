"""The command `financelake import`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from finance_lake.cli.app import Data, hint, paths_of, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from structlog.typing import FilteringBoundLogger

    from finance_local.importing.pending import Pending
    from finance_local.importing.prepare import Prepared
    from finance_local.importing.target import Target
    from finance_local.importing.work import Outcome
    from finance_producer.reading.options import Options

Files = Annotated[list[Path], typer.Argument(help="Files or folders; - is standard input.", show_default=False)]


def import_files(
    files: Files,
    *,
    mapped: Annotated[str, typer.Option("--map", help="symbol=ticker,price=trade_price,size=qty,ts_event=timestamp")] = "",
    ignore: Annotated[
        str, typer.Option(help="Columns that are not used, though they look like a symbol, a size or a time.")
    ] = "",
    symbol: Annotated[str, typer.Option(help="The symbol of every row.")] = "",
    ohlc: Annotated[str, typer.Option(help="Columns of bars: open,high,low,close. Each row becomes four ticks.")] = "",
    delimiter: Annotated[str, typer.Option(help="comma, semicolon, tab, pipe or a character.")] = "",
    encoding: Annotated[str, typer.Option(help="Such as utf-16 or latin-1.")] = "",
    decimal_mark: Annotated[str, typer.Option(help="point or comma.")] = "",
    dates: Annotated[str, typer.Option(help="Order of dates such as 5/1/2024: dmy or mdy.")] = "",
    time_unit: Annotated[str, typer.Option(help="Unit of times in numbers: auto, s, ms, us or ns.")] = "auto",
    time_zone: Annotated[str, typer.Option(help="Zone of times that name none, such as America/New_York.")] = "",
    decimals: Annotated[int | None, typer.Option(min=0, max=8, help="How many decimals of a price mean something.")] = None,
    price_scale: Annotated[str, typer.Option(help="What a price is multiplied by, such as 1e-9.")] = "",
    size_scale: Annotated[str, typer.Option(help="What a size is multiplied by.")] = "",
    left_out: Annotated[
        Path | None, typer.Option(help="File, or folder for several, that lists rows left out. Without it, beside each file.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show how the files would be stored.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask. What only you can know is then an error.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Import files once more that were imported already.")] = False,
    data: Data = None,
) -> None:
    """Put files of prices into the lake, and prove that every row is there or listed as left out.

    If the lake does not run, what is missing is started for the import, where `make local` could start it.

    Exit codes: 0 every tick is in the table; 1 not all of them; 2 a file cannot be read as it is, or no lake runs and none can
    be started; 78 another import runs.
    """
    from finance_local.importing.prepare import Manner, prepared
    from finance_producer.reading.options import UnreadableFileError

    chosen = {
        "mapped": mapped,
        "ignored": ignore,
        "symbol": symbol,
        "ohlc": ohlc,
        "delimiter": delimiter,
        "encoding": encoding,
        "decimal_mark": decimal_mark,
        "date_order": dates,
        "time_unit": time_unit,
        "time_zone": time_zone,
        "decimals": decimals,
        "price_scale": price_scale,
        "size_scale": size_scale,
    }
    try:
        options = _options(chosen)
        paths = paths_of(data)
        manner = Manner(may_ask=_may_ask(files) and not yes, whole=dry_run or not yes, left_out=left_out)
        with prepared(_found(files, left_out), options, paths.folder, manner) as works:
            for work in works:
                _show(work)
            if not dry_run and (yes or _is_agreed(files)):
                _import(works, _target(data), again=again)
    except UnreadableFileError as error:
        say(str(error))
        raise typer.Exit(2) from None


def _options(chosen: dict[str, Any]) -> Options:
    """Return the options for reading. Raises BadParameter."""
    from finance_producer.reading.settings import options_of

    try:
        return options_of(chosen)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _found(files: Sequence[Path], left_out: Path | None) -> list[Path]:
    """Return the files to import. Raises UnreadableFileError and BadParameter."""
    from finance_local.importing.files import found

    paths = found(files)
    if left_out and len(paths) > 1 and not left_out.is_dir():
        raise typer.BadParameter(
            f"--left-out {left_out} is not a folder: there are {len(paths)} files, each with its own list."
        )
    return paths


def _may_ask(files: Sequence[Path]) -> bool:
    import sys

    return sys.stdin is not None and sys.stdin.isatty() and "-" not in map(str, files)


def _is_agreed(files: Sequence[Path]) -> bool:
    from finance_local.importing.opening import answered

    if not _may_ask(files):
        say("Nobody can be asked here: add --yes to import, or --dry-run only to look.")
        raise typer.Exit(2)
    return answered("Import? [y/N] ") == "y"


def _show(work: Prepared) -> None:
    from finance_lake.cli.display import print_rows
    from finance_local.importing.preview import lines, tick_rows
    from finance_role.text import plain

    for heading, text in lines(work.file.name, work.described, work.seen).items():
        print(f"{heading:<12} {plain(text)}")
    if work.seen.first:
        print()
        print_rows(tick_rows(work.seen), ("symbol", "price", "size", "ts_event"))
    print()


def _target(data: Path | None) -> Target:
    from finance_lake.config import Settings
    from finance_local.importing.target import Target
    from finance_role.settings import settings_or_exit

    settings = settings_or_exit(Settings)
    return Target(paths_of(data), settings.broker_addresses, settings.kafka_topic)


def _import(works: Sequence[Prepared], target: Target, *, again: bool) -> None:
    from confluent_kafka import KafkaException

    from finance_local.importing.console import Interrupts
    from finance_local.importing.left_out import prepare_lists
    from finance_local.importing.on_demand import missing_roles, started
    from finance_local.importing.pending import pending
    from finance_producer.connection import FatalError
    from finance_role.exit_codes import REFUSED
    from finance_role.lock import AlreadyRunningError, hold

    missing = missing_roles(target)
    if not missing:
        target.require_running()
    try:
        with hold(target.paths.folder, "import"), Interrupts() as stopping:
            files = pending(works, target.paths, again=again)
            prepare_lists(file.work.file.left_out for file in files)
            with started(target, missing if files else (), stopping):
                outcomes = list(_outcomes(files, target, stopping))
    except AlreadyRunningError as error:
        say(str(error))
        raise typer.Exit(REFUSED) from None
    except (FatalError, KafkaException) as error:
        say(f"{error}. The same command goes on where it stopped.")
        raise typer.Exit(1) from None
    if len(outcomes) < len(files) or any(outcome.problem for outcome in outcomes):
        raise typer.Exit(1)
    if outcomes:
        hint("`financelake sources` lists what is in the lake and who wrote it.")


def _outcomes(files: Sequence[Pending], target: Target, stopping: Callable[[], bool]) -> Iterator[Outcome]:
    """Import one file after the other until `stopping` is true."""
    for file in files:
        if stopping():
            say(f"Stopped before {file.work.file.name}. The same command goes on where it stopped.")
            return
        target.require_running()
        yield _import_one(file, target, stopping)


def _import_one(file: Pending, target: Target, stopping: Callable[[], bool]) -> Outcome:
    from finance_local.importing.console import ConsoleLog, progress_of
    from finance_local.importing.work import Run, arrived, carry_out
    from finance_producer.config import Settings
    from finance_producer.importing.publish import Import
    from finance_role.settings import settings_or_exit

    work, identity, before = file
    settings = settings_or_exit(Settings).model_copy(
        update={"kafka_bootstrap": target.bootstrap, "kafka_topic": target.topic, "data_dir": target.paths.folder}
    )
    with progress_of(work.file.name) as progress:
        ready = Import(work.file.name, identity, arrived(target, identity, before, stopping))
        run = Run(target, settings, cast("FilteringBoundLogger", ConsoleLog()), stopping)
        outcome = carry_out(work.file, work.options, ready, run, progress)
    _report(work, identity.source, outcome)
    return outcome


def _report(work: Prepared, source: str, outcome: Outcome) -> None:
    left_out = ", ".join(f"{reason} {rows:,}" for reason, rows in sorted(outcome.left_out.items(), key=lambda item: -item[1]))
    each = f" ({work.described.ticks_per_row} ticks a row)" if work.described.ticks_per_row > 1 else ""
    rest = f"{outcome.total - outcome.rows:,} left out" + (f" ({left_out}; listed in {outcome.listed})" if left_out else "")
    before = f", {outcome.ticks - outcome.sent:,} of them by an earlier run" if outcome.ticks > outcome.sent else ""
    if outcome.problem:
        say(f"{work.file.name}: {outcome.problem}.")
        return
    print(
        f"{work.file.name}: {outcome.total:,} rows = {outcome.rows:,} stored as {outcome.ticks:,} ticks{each} + {rest};"
        f" every tick is in the table once{before}. Source: {source}"
    )
