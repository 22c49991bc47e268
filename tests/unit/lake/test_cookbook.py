"""docs/COOKBOOK.md: each recipe runs as printed, and has the printed result."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.cookbook import CHECKOUT, PAGE, Recipe, recipes, run, setup
from tests.support.market import market

if TYPE_CHECKING:
    from pathlib import Path

RESEARCH = CHECKOUT / "docs" / "RESEARCH.md"


@pytest.fixture(scope="session")
def morning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the lake of tests/support/market.py once; return the folder that contains `data`."""
    folder = tmp_path_factory.mktemp("market")
    market(folder / "data")
    return folder


@pytest.mark.parametrize("recipe", [recipe for recipe in recipes() if not recipe.needs_spark], ids=lambda recipe: recipe.title)
def test_a_recipe_has_the_printed_result(recipe: Recipe, morning: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(morning)
    monkeypatch.delenv("DATA_DIR", raising=False)
    assert run(recipe, setup("python")) == recipe.result


def test_there_are_a_dozen_recipes_and_all_have_results() -> None:
    assert len(recipes()) >= 12
    assert not [recipe.title for recipe in recipes() if not recipe.result.strip()]


def test_every_code_block_of_the_page_is_tested() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page.count("```text\n") == len(recipes())
    assert page.count("```sql\n") + page.count("```python") == len(recipes()) + 2


def test_recipes_name_no_day_so_they_fit_any_lake() -> None:
    assert not [recipe.title for recipe in recipes() if re.search(r"[0-9]{4}-[0-9]{2}", recipe.code)]


def test_the_code_of_the_research_page_runs(morning: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = re.findall(r"^```python\n(.*?)^```$", RESEARCH.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(morning)
    monkeypatch.delenv("DATA_DIR", raising=False)
    names: dict[str, Any] = {}
    for block in code:
        exec(block, names)  # noqa: S102 (our own page)
    assert names["closes"].index[0].isoformat() == "2026-11-24T05:00:00-05:00"
    assert round(names["closes"].iloc[-1], 8) == 172.81


def test_the_contents_link_each_topic_and_question() -> None:
    page = PAGE.read_text(encoding="utf-8")
    headings = re.findall(r"^##+ (.+)$", page, re.MULTILINE)
    links = re.findall(r"^ *- \[(.+)\]\(#(.+)\)$", page, re.MULTILINE)
    assert links == [(heading, re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")) for heading in headings]
