"""docs/COOKBOOK.md: the recipe that asks Spark."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.cookbook import recipes, run
from tests.support.market import market

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark


def test_a_recipe_for_spark_shows_what_the_page_says(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    market(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATA_DIR", raising=False)
    (recipe,) = (one for one in recipes() if one.needs_spark)
    # The JVM keeps the folder that it was started in.
    code = recipe.code.replace('"data/', f'"{tmp_path}/data/')
    assert run(recipe._replace(code=code), spark=spark).rstrip() == recipe.result.rstrip()
