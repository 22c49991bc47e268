"""One Spark session for all tests that run Spark in their own process, made as the job makes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from finance_job.config import Settings
from finance_job.session import start_session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    session = start_session(Settings(spark_ui_port=0))
    yield session
    session.stop()
