"""docs/COOKBOOK.md: the recipe that uses Spark."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.cookbook import recipes, run
from tests.support.market import market

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark


def test_the_spark_recipe_prints_the_documented_result(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    market(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATA_DIR", raising=False)
    (recipe,) = (recipe for recipe in recipes() if recipe.needs_spark)
    # The JVM keeps the working directory in which it was started.
    code = recipe.code.replace('"data/', f'"{tmp_path}/data/')
    assert run(recipe._replace(code=code), spark=spark).rstrip() == recipe.result.rstrip()
