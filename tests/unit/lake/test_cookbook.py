"""docs/COOKBOOK.md: each recipe runs as printed, and has the printed result."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cookbook import Recipe, recipes, run, setup
from tests.support.market import market


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
    page = Path("docs/COOKBOOK.md").read_text(encoding="utf-8")
    assert page.count("```text\n") == len(recipes())
    assert page.count("```sql\n") + page.count("```python") == len(recipes()) + 2
