"""One Spark session for all tests that run Spark in their own process, made as the job makes it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from finance_job.config import Settings
from finance_job.session import start_session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    before = dict(os.environ)
    session = start_session(Settings(spark_ui_port=0, data_dir=tmp_path_factory.mktemp("spark")))
    yield session
    session.stop()
    os.environ.update(before)
