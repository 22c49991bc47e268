"""Read docs/COOKBOOK.md for its tests. `python -m tests.support.cookbook` rewrites its results."""

from __future__ import annotations

import contextlib
import io
import os
import re
import tempfile
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from finance_lake.lake import Lake
from tests.support.market import market

if TYPE_CHECKING:
    import pyarrow as pa

TITLE = re.compile(r"^### (.+)$", re.MULTILINE)
BLOCK = re.compile(r"^```(sql|python)( \w+)?\n(.*?)^```\n```text\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
SETUP = re.compile(r"^```(python(?: spark)?) setup\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
CHECKOUT = Path(__file__).parents[2]
PAGE = CHECKOUT / "docs" / "COOKBOOK.md"


class Recipe(NamedTuple):
    """A question, the code that answers it, and the result that the page shows."""

    title: str
    language: str
    code: str
    result: str

    @property
    def needs_spark(self) -> bool:
        """Whether it runs in a Spark session."""
        return self.language == "python spark"


def recipes() -> list[Recipe]:
    """Return the recipes of the page."""
    titled = TITLE.split(PAGE.read_text())[1:]
    return [
        Recipe(title, f"{kind}{more}", code, result)
        for title, text in zip(titled[::2], titled[1::2], strict=True)
        for kind, more, code, result in BLOCK.findall(text)
    ]


def setup(language: str) -> dict[str, object]:
    """Return the names that recipes in `python` or `python spark` begin with, for the lake in `data`."""
    names: dict[str, object] = {}
    exec(dict(SETUP.findall(PAGE.read_text()))[language], names)  # noqa: S102 (our own page)
    return names


def run(recipe: Recipe, names: dict[str, object]) -> str:
    """Run a recipe with the names of its setup; return its output."""
    if recipe.language == "sql":
        lake = names["lake"]
        assert isinstance(lake, Lake)
        return as_text(lake.sql(recipe.code).arrow)
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        exec(recipe.code, dict(names))  # noqa: S102
    return shown.getvalue()


def as_text(rows: pa.Table) -> str:
    """Format rows as the page does: aligned columns below their names."""
    cells = [rows.column_names, *([_cell(value) for value in row.values()] for row in rows.to_pylist())]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells)
    return "\n".join(lines) + "\n"


def _cell(value: object) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else str(value)


def results_of_spark() -> list[str]:
    """Run the recipes for Spark on the lake in `data`, all in one session; return their outputs.

    Its jars are in `build/jars`.
    """
    Path("build").symlink_to(CHECKOUT / "build")
    names = setup("python spark")
    return [run(recipe, names) for recipe in recipes() if recipe.needs_spark]


def main() -> None:
    """Rewrite the results."""
    text = PAGE.read_text()
    with tempfile.TemporaryDirectory() as folder:
        market(Path(folder) / "data")
        os.chdir(folder)
        names, by_spark = setup("python"), iter(results_of_spark())
        for recipe in recipes():
            head = f"```{recipe.language}\n{recipe.code}```\n```text\n"
            result = next(by_spark) if recipe.needs_spark else run(recipe, names)
            text = text.replace(f"{head}{recipe.result}```\n", f"{head}{result.rstrip()}\n```\n", 1)
    PAGE.write_text(text)


if __name__ == "__main__":
    main()
