"""The command group, and the options and messages that subcommands share."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from io import BufferedWriter, FileIO, TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TextIO

import typer
from typer.core import TyperGroup

from finance_role.beneath import IrregularError
from finance_role.exit_codes import USAGE
from finance_role.text import ESCAPE, plain
from finance_storage.errors import FILL, LakeError, StoreUnavailableError, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from finance_lake.lake import Lake
    from finance_storage.paths import LakePaths

ABOUT = "FinanceLake: query the lake, and verify that it is complete."


def usable_folder(folder: Path | None) -> Path | None:
    """Refuse a folder whose name a library would misread: exit code 2."""
    from finance_role.literal_paths import fault

    if folder and (what := fault(folder)):
        raise typer.BadParameter(what)
    if folder and str(folder).startswith("s3:/") and not folder.exists():
        raise typer.BadParameter("it names a folder. For a lake in an object store set LAKE_URI, without --data")
    return folder


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def known_zone(name: str | None) -> str | None:
    """Refuse an unknown time zone: exit code 2."""
    if name is not None:
        from finance_lake.query.times import parse_zone
        from finance_storage.errors import RequestError

        try:
            parse_zone(name)
        except RequestError as error:
            raise typer.BadParameter(str(error)) from None
    return name


Data = Annotated[Path | None, typer.Option(callback=usable_folder, help="The lake's folder (default: DATA_DIR, or data).")]
Tz = Annotated[
    str | None,
    typer.Option("--tz", callback=known_zone, metavar="ZONE", help="Time zone of the times shown, such as America/New_York."),
]
AsOf = Annotated[str | None, typer.Option(help="Table version, or a time such as 2026-11-24T10:31 (UTC).")]
Start = Annotated[str | None, typer.Option(help="From this time, such as 2026-11-24T10:31 (UTC).")]
End = Annotated[str | None, typer.Option(help="Before this time.")]


class CommandGroup(TyperGroup):
    """Turn expected errors into a message and an exit code instead of a traceback: 2 for bad usage, 1 for other failures."""

    def main(self, *args: Any, **named: Any) -> Any:  # noqa: ANN401
        """Run the command; exit with 1 if standard output cannot be written."""
        out = open_output()
        try:
            try:
                return super().main(*args, **named)
            finally:
                out.flush()
        except OSError as error:
            report_broken_output(out, error)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 (typer has a click of its own)
        """Run the subcommand."""
        try:
            return super().invoke(ctx)
        except LakeError as error:
            say(str(error))
            raise typer.Exit(1 if isinstance(error, (UnreadableError, StoreUnavailableError)) else USAGE) from None
        except IrregularError as error:
            say(f"{error}.")
            raise typer.Exit(1) from None
        except OSError as error:
            report_broken_output(sys.stdout, error)
        except ModuleNotFoundError as error:  # the job's image has only what verify and quarantine need
            say(f"This command needs {error.name}, which is not installed: `pip install 'financelake[dashboard,notebook]'`.")
            raise typer.Exit(1) from None


app = typer.Typer(cls=CommandGroup, help=ABOUT, no_args_is_help=True, pretty_exceptions_enable=False)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 (typer calls it)
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"financelake {version('financelake')}")
        except PackageNotFoundError:  # an image has only the source
            print("financelake, not installed as a package")
        raise typer.Exit


@app.callback()
def financelake(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """FinanceLake: query the lake, and verify that it is complete."""


def open_output() -> TextIO:
    """Make the streams escape characters that their encoding lacks, and return standard output. Exit with 1 if it is closed."""
    if sys.stdout is None:
        say("Standard output is closed: nothing can be printed.")
        sys.exit(1)
    raw = getattr(sys.stdout, "buffer", None)
    if isinstance(raw, FileIO):  # with PYTHONUNBUFFERED a partial write to a pipe would silently lose the rest
        sys.stdout = TextIOWrapper(BufferedWriter(raw), sys.stdout.encoding, line_buffering=True)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=ESCAPE)
    return sys.stdout


def report_broken_output(out: TextIO, error: OSError) -> NoReturn:
    """Report what could not be written, and exit with 1."""
    # An error of standard output has no file name.
    where = "Standard output" if error.filename is None else str(error.filename)
    say(f"{where}: {error.strerror or error}.")
    _silence(out)
    sys.exit(1)


def _silence(stream: TextIO) -> None:
    """Discard what is left in a stream's buffer: at exit Python would try to write it again, and fail."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def say(message: str) -> None:
    """Write a message to standard error, because standard output may be redirected."""
    # Messages contain file names, symbols and library errors, so control characters are escaped.
    if sys.stderr is None:
        return
    try:
        sys.stderr.write("\n".join(map(plain, message.splitlines())) + "\n")
        sys.stderr.flush()
    except OSError:  # full or closed
        _silence(sys.stderr)


def hint(suggestion: str) -> None:
    """Suggest the next step, on standard error."""
    say(f"Next: {suggestion}")


def further_command(quarantined: int) -> str:
    """Return the command to try next on a healthy lake."""
    if quarantined:
        return "`financelake quarantine` shows the malformed records."
    return "`financelake bars` shows prices, `financelake tail` shows each tick."


def paths_of(data: Path | None) -> LakePaths:
    """Return the lake's paths: `data`, or LAKE_URI or DATA_DIR from the settings."""
    from finance_role.settings import PlaceSettings, settings_or_exit
    from finance_storage.paths import LakePaths

    return LakePaths(data) if data else LakePaths.of(settings_or_exit(PlaceSettings))


def lake_of(data: Path | None) -> Lake:
    """Open the lake. Raises NoLakeError."""
    from finance_lake.lake import Lake

    return Lake(paths_of(data))


def require_ticks(lake: Lake, symbols: Sequence[str] = (), as_of: str | None = None) -> None:
    """Exit with 2 and a message if the lake has no ticks, or no ticks of one of the symbols."""
    if report_if_empty(lake.paths, lake.count(as_of), as_of) or report_unknown_symbols(lake, symbols, as_of):
        raise typer.Exit(USAGE)


def report_if_empty(paths: LakePaths, ticks: int, as_of: str | None = None) -> bool:
    """Return whether the lake has no ticks. If so, say which command fills it."""
    if ticks:
        return False
    when = f"as of {as_of}" if as_of else "yet"
    say(f"The lake at {paths.root} has no ticks {when}: {FILL}")
    return True


def report_unknown_symbols(lake: Lake, symbols: Sequence[str], as_of: str | None = None) -> bool:
    """Return whether the lake has no ticks of one of the symbols. If so, name it and the symbols that the lake has."""
    known = lake.symbols(as_of=as_of) if symbols else []
    unknown = [symbol for symbol in symbols if symbol not in known]
    if not unknown:
        return False
    examples = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")  # noqa: PLR2004 (one line)
    close = [symbol for symbol in known if symbol.lower() in {name.lower() for name in unknown}]
    meant = f" Did you mean {', '.join(close)}? Case matters." if close else ""
    say(f"The lake has no ticks of {', '.join(unknown)}.{meant} It has {examples}.")
    return True
