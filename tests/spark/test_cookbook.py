"""docs/COOKBOOK.md: the recipes that use Spark, in a process of their own that starts the session as the page does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from finance_job.reading_session import reading_session
from tests.support.cookbook import CHECKOUT, recipes
from tests.support.market import market
from tests.support.stack import SHORT_LIVED

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.spark

RUN = """
import json
from tests.support.cookbook import results_of_spark

print(json.dumps(results_of_spark()))
"""


def test_the_spark_recipes_print_the_documented_results(tmp_path: Path) -> None:
    market(tmp_path / "data")
    environment = {name: value for name, value in os.environ.items() if name != "DATA_DIR"}
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        env={**environment, "PYTHONPATH": str(CHECKOUT), "JVM_OF_TESTS": SHORT_LIVED},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    printed = dict(zip(recipes_of_spark(), json.loads(done.stdout.splitlines()[-1]), strict=True))
    assert {code: result.rstrip() for code, result in printed.items()} == recipes_of_spark()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["build", "data"]


def recipes_of_spark() -> dict[str, str]:
    return {recipe.code: recipe.result.rstrip() for recipe in recipes() if recipe.needs_spark}


def test_a_folder_without_the_jars_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"has no jars of Delta: pass the folder build/jars/spark"):
        reading_session(tmp_path)
