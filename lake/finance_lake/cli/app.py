"""The command as a whole, and what its subcommands share: options, and how they speak."""

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
from finance_storage.errors import FILL, LakeError, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from finance_lake.lake import Lake
    from finance_storage.paths import LakePaths

ABOUT = "FinanceLake: what is in the lake, and whether it is all there."


def _taken_as_it_is(folder: Path | None) -> Path | None:
    """Refuse a folder whose name a library would take for another: exit code 2."""
    from finance_role.literal_paths import fault

    if folder and (what := fault(folder)):
        raise typer.BadParameter(what)
    return folder


AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output, for programs.")]
Data = Annotated[Path | None, typer.Option(callback=_taken_as_it_is, help="The lake's folder (default: DATA_DIR, or data).")]
AsOf = Annotated[str | None, typer.Option(help="A version, or a time such as 2026-11-24T10:31 (UTC).")]
Start = Annotated[str | None, typer.Option(help="From this time on, such as 2026-11-24T10:31 (UTC).")]
End = Annotated[str | None, typer.Option(help="Before this time.")]


class Sentences(TyperGroup):
    """What is wrong with a question becomes a sentence and an exit code, never a traceback: 2 for usage, 1 for a broken one."""

    def main(self, *args: Any, **named: Any) -> Any:  # noqa: ANN401
        """Run the command; what standard output does not take fails it."""
        out = open_output()
        try:
            try:
                return super().main(*args, **named)
            finally:
                out.flush()
        except OSError as error:
            give_up(out, error)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 (typer has a click of its own)
        """Run the subcommand."""
        try:
            return super().invoke(ctx)
        except LakeError as error:
            say(str(error))
            raise typer.Exit(1 if isinstance(error, UnreadableError) else USAGE) from None
        except IrregularError as error:
            say(f"{error}.")
            raise typer.Exit(1) from None
        except OSError as error:
            give_up(sys.stdout, error)
        except ModuleNotFoundError as error:  # the job's image has what verify and quarantine need
            say(f"This needs {error.name}, which is not installed: `pip install 'financelake[dashboard,notebook]'` has it.")
            raise typer.Exit(1) from None


app = typer.Typer(cls=Sentences, help=ABOUT, no_args_is_help=True, pretty_exceptions_enable=False)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 (typer calls it)
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"financelake {version('financelake')}")
        except PackageNotFoundError:  # an image has the source alone
            print("financelake, not installed as a package")
        raise typer.Exit


@app.callback()
def financelake(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """FinanceLake: what is in the lake, and whether it is all there."""


def open_output() -> TextIO:
    """Let streams escape what their encoding lacks, and give standard output. Exits with 1 where it is closed."""
    if sys.stdout is None:
        say("Standard output is closed: there is nowhere to write to.")
        sys.exit(1)
    raw = getattr(sys.stdout, "buffer", None)
    if isinstance(raw, FileIO):  # PYTHONUNBUFFERED: what a pipe does not take at once would be lost without a word
        sys.stdout = TextIOWrapper(BufferedWriter(raw), sys.stdout.encoding, line_buffering=True)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=ESCAPE)
    return sys.stdout


def give_up(out: TextIO, error: OSError) -> NoReturn:
    """Say what could not be written, and exit with 1."""
    # A file that fails is named; standard output has no name.
    where = "Standard output" if error.filename is None else str(error.filename)
    say(f"{where}: {error.strerror or error}.")
    _silence(out)
    sys.exit(1)


def _silence(stream: TextIO) -> None:
    """Let what is left in a stream's buffer go nowhere: at its end Python would write it again, and fail."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def say(sentence: str) -> None:
    """Say something to the person, who may have sent standard output elsewhere."""
    # Sentences name files, symbols and what libraries say of them: none of it is to move a terminal's cursor.
    if sys.stderr is None:
        return
    try:
        sys.stderr.write("\n".join(map(plain, sentence.splitlines())) + "\n")
        sys.stderr.flush()
    except OSError:  # it is full, or closed: nobody listens
        _silence(sys.stderr)


def hint(sentence: str) -> None:
    """Name the next thing to do, where somebody can read it."""
    say(f"Next: {sentence}")


def look_further(quarantined: int) -> str:
    """Say what there is to look at in a lake that is in order."""
    if quarantined:
        return "`financelake quarantine` shows what was malformed."
    return "`financelake bars` shows the prices, `financelake tail` each tick."


def paths_of(data: Path | None) -> LakePaths:
    """Where the lake is."""
    from finance_role.settings import RoleSettings, settings_or_exit
    from finance_storage.paths import LakePaths

    return LakePaths(data or settings_or_exit(RoleSettings).data_dir)


def lake_of(data: Path | None) -> Lake:
    """Open the lake. Raises NoLakeError."""
    from finance_lake.lake import Lake

    return Lake(paths_of(data).root)


def require_ticks(lake: Lake, symbols: Sequence[str] = (), as_of: str | None = None) -> None:
    """Stop where there is nothing to show yet, or nothing of one of the symbols: exit code 2, and a sentence."""
    if tell_if_empty(lake.paths, lake.count(as_of), as_of) or tell_if_unknown(lake, symbols, as_of):
        raise typer.Exit(USAGE)


def tell_if_empty(paths: LakePaths, ticks: int, as_of: str | None = None) -> bool:
    """Return whether the lake has no tick yet; if so, say which command fills it."""
    if ticks:
        return False
    when = f"as of {as_of}" if as_of else "yet"
    say(f"The lake at {paths.root} holds no tick {when}: {FILL}")
    return True


def tell_if_unknown(lake: Lake, symbols: Sequence[str], as_of: str | None = None) -> bool:
    """Return whether the lake has no tick of one of the symbols; if so, say of which, and which it has."""
    known = lake.symbols(as_of=as_of) if symbols else []
    unknown = [symbol for symbol in symbols if symbol not in known]
    if not unknown:
        return False
    some = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")  # noqa: PLR2004 (a line)
    say(f"The lake has no tick of {', '.join(unknown)}. It has {some}.")
    return True
