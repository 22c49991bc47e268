"""The command as a whole, and what its subcommands share: options, and how they speak."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from finance_lake.errors import FILL, LakeError, UnreadableError

if TYPE_CHECKING:
    from finance_lake.reading.lake import Lake
    from finance_lake.state.layout import Layout

USAGE = 2
ABOUT = "FinanceLake: what is in the lake, and whether it is all there."

AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output, for programs.")]
Data = Annotated[Path | None, typer.Option(help="The lake's folder (default: DATA_DIR, or data).")]
AsOf = Annotated[str | None, typer.Option(help="A version, or a time such as 2026-11-24T10:31 (UTC).")]
Start = Annotated[str | None, typer.Option(help="From this time on, such as 2026-11-24T10:31 (UTC).")]
End = Annotated[str | None, typer.Option(help="Before this time.")]


class Sentences(TyperGroup):
    """What is wrong with a question becomes a sentence and an exit code, never a traceback: 2 for usage, 1 for a broken one."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 (typer has a click of its own)
        """Run the subcommand."""
        try:
            return super().invoke(ctx)
        except LakeError as error:
            say(str(error))
            raise typer.Exit(1 if isinstance(error, UnreadableError) else USAGE) from None
        except ModuleNotFoundError as error:  # the job's image has what verify and quarantine need
            say(f"This needs {error.name}, which is not installed here: call .venv/bin/financelake, the project's own.")
            raise typer.Exit(1) from None


app = typer.Typer(cls=Sentences, help=ABOUT, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def financelake() -> None:
    """FinanceLake: what is in the lake, and whether it is all there."""


def say(sentence: str) -> None:
    """Say something to the person, who may have sent standard output elsewhere."""
    sys.stderr.write(f"{sentence}\n")


def hint(sentence: str) -> None:
    """Name the next thing to do, where somebody can read it."""
    say(f"Next: {sentence}")


def layout_of(data: Path | None) -> Layout:
    """Where the lake is."""
    from finance_lake.state.layout import Layout
    from finance_role.settings import RoleSettings, settings_or_exit

    return Layout(data or settings_or_exit(RoleSettings).data_dir)


def lake_of(data: Path | None) -> Lake:
    """Open the lake. Raises NoLakeError."""
    from finance_lake.reading.lake import Lake

    return Lake(layout_of(data).root)


def require_ticks(lake: Lake, as_of: str | None = None) -> None:
    """Stop where there is nothing to show yet: exit code 2, and the command that fills the lake."""
    if not lake.count(as_of=as_of):
        when = f"as of {as_of}" if as_of else "yet"
        say(f"The lake at {lake.layout.root} holds no tick {when}: {FILL}")
        raise typer.Exit(USAGE)


def require_known(lake: Lake, symbols: list[str], as_of: str | None = None) -> None:
    """Stop at a symbol that the lake has no tick of: exit code 2, and those that it has."""
    require_ticks(lake, as_of)
    known = lake.symbols(as_of=as_of)
    if unknown := [symbol for symbol in symbols if symbol not in known]:
        some = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")  # noqa: PLR2004 (a line)
        say(f"The lake has no tick of {', '.join(unknown)}. It has {some}.")
        raise typer.Exit(USAGE)
