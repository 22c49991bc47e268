"""Read the offsets of the running micro-batch from Spark's query plan, not from its checkpoint.

Spark passes `foreachBatch` a DataFrame without its source. The query that runs on this thread has it: the plan of its latest
execution has a relation for the Kafka source, with the start and end offsets of the batch. This is not a public interface, so
only this module uses it and `tests/stack/test_readers.py` checks it against the installed Spark. Anything unexpected
raises UnknownOffsetsError before a record is read.
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
    """This version of Spark does not expose the offsets of a batch where the job looks for them."""


def batch_ranges(session: SparkSession, base: int = 0) -> Ranges:
    """Return the offset range of each partition in the micro-batch on this thread. Call it inside `foreachBatch`.

    `session` must be the one that started the query: the batch's own session is a copy that does not know the query. A
    partition that was added to the topic since the previous batch starts at 0. `base` is the number of the topic's partition 0.
    Raises UnknownOffsetsError.
    """
    try:
        start, end = _start_and_end(session)
    except (Py4JError, AttributeError, TypeError, ValueError) as error:
        raise UnknownOffsetsError(f"this version of Spark does not expose the offsets of a micro-batch: {error!r}") from error
    return {base + partition: OffsetRange(start.get(partition, 0), offset) for partition, offset in end.items()}


def _start_and_end(session: SparkSession) -> tuple[Offsets, Offsets]:
    relation = _source_relation(_running_query(session).lastExecution().logical())
    return _offsets_of_topic(relation.startOffset().get().json()), _offsets_of_topic(relation.endOffset().get().json())


def _running_query(session: SparkSession) -> Any:  # noqa: ANN401 (Spark's StreamExecution, by py4j)
    query = session.sparkContext.getLocalProperty(QUERY_ID)
    for active in session.streams.active:
        if active.id == query:
            return active._jsq.streamingQuery()  # noqa: SLF001 (py4j's bridge is PySpark's own)
    raise UnknownOffsetsError(f"no active query has this thread's query id, {query}")


def _source_relation(plan: Any) -> Any:  # noqa: ANN401 (Spark's LogicalPlan, by py4j)
    leaves = plan.collectLeaves()
    nodes = [leaves.apply(index) for index in range(leaves.size())]
    relations = [node for node in nodes if node.getClass().getSimpleName() == RELATION]
    if len(relations) != 1:
        raise UnknownOffsetsError(f"the plan of the batch has {len(relations)} nodes of class {RELATION} instead of one")
    return relations[0]


def _offsets_of_topic(text: str) -> Offsets:
    (partitions,) = json.loads(text).values()
    return {int(partition): int(offset) for partition, offset in partitions.items()}
