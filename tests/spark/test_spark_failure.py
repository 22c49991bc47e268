"""How the error of a micro-batch reaches Spark."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pyspark.errors import StreamingQueryException

from finance_job.spark_failure import in_one_line

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.spark

STACK_TRACE = "\tat org.apache.spark.scheduler.DAGScheduler.failJobAndIndependentStages(DAGScheduler.scala:2935)\n" * 500
FAILURE = (
    f"An error occurred while calling o1.save.\n: org.apache.spark.SparkException: Job aborted.\n{STACK_TRACE}"
    f"Caused by: java.io.IOException: No space left on device\n{STACK_TRACE}"
)


class Py4JJavaError(Exception):
    """Prints as py4j's error does."""

    __module__ = "py4j.protocol"


def test_pages_of_stack_trace_end_the_query_with_their_cause(spark: SparkSession, tmp_path: Path) -> None:
    def fail(_: DataFrame, __: int) -> None:
        raise Py4JJavaError(FAILURE)

    rows = spark.readStream.format("rate").load()
    query = rows.writeStream.foreachBatch(in_one_line(fail)).option("checkpointLocation", str(tmp_path)).start()
    with pytest.raises(StreamingQueryException, match="BatchFailedError: IOException: No space left on device"):
        query.awaitTermination(120)
    assert not query.isActive
