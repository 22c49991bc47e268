"""The offsets of a micro-batch, asked of Spark while it runs: Spark's checkpoint is not read.

Spark hands `foreachBatch` a DataFrame that no longer knows its source. The query that runs on this thread does: the plan of its
newest execution has a relation for the Kafka source with the offsets where the batch starts and ends. That is no public
interface, so this is the only module that knows it, `tests/spark/test_batch_offsets.py` holds it to the Spark in use, and
anything unexpected raises UnknownOffsetsError, before a record is read.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from py4j.protocol import Py4JError

from finance_kafka.offsets import OffsetRange

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from finance_job.records import Ranges
    from finance_kafka.offsets import Offsets

QUERY_ID = "sql.streaming.queryId"  # a local property of the thread that runs the query
RELATION = "StreamingDataSourceV2ScanRelation"


class UnknownOffsetsError(Exception):
    """Spark does not tell the offsets of a batch in the way that this version of the job knows."""


def batch_ranges(session: SparkSession) -> Ranges:
    """Return the offset range of each Kafka partition in the micro-batch that runs on this thread, inside `foreachBatch`.

    `session` is the one that started the query: the batch's own session, a copy, does not know the query. A partition that
    was added to the topic since the batch before starts at 0. Raises UnknownOffsetsError.
    """
    try:
        start, end = _start_and_end(session)
    except (Py4JError, AttributeError, TypeError, ValueError) as error:
        raise UnknownOffsetsError(f"this Spark does not tell the offsets of a micro-batch: {error!r}") from error
    return {partition: OffsetRange(start.get(partition, 0), offset) for partition, offset in end.items()}


def _start_and_end(session: SparkSession) -> tuple[Offsets, Offsets]:
    relation = _source_relation(_running_query(session).lastExecution().logical())
    return _offsets_of_topic(relation.startOffset().get().json()), _offsets_of_topic(relation.endOffset().get().json())


def _running_query(session: SparkSession) -> Any:  # noqa: ANN401 (Spark's StreamExecution, by py4j)
    query = session.sparkContext.getLocalProperty(QUERY_ID)
    for active in session.streams.active:
        if active.id == query:
            return active._jsq.streamingQuery()  # noqa: SLF001 (py4j's bridge is PySpark's own)
    raise UnknownOffsetsError(f"no active query has the id of this thread, {query}")


def _source_relation(plan: Any) -> Any:  # noqa: ANN401 (Spark's LogicalPlan, by py4j)
    leaves = plan.collectLeaves()
    relations = [leaves.apply(index) for index in range(leaves.size())]
    found = [relation for relation in relations if relation.getClass().getSimpleName() == RELATION]
    if len(found) != 1:
        raise UnknownOffsetsError(f"the plan of the batch has {len(found)} nodes of class {RELATION} instead of one")
    return found[0]


def _offsets_of_topic(text: str) -> Offsets:
    (partitions,) = json.loads(text).values()
    return {int(partition): int(offset) for partition, offset in partitions.items()}
