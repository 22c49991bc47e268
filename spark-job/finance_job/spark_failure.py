"""Classify a failed Spark job by error condition and exception class, never by the text of a message; shorten the text."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from py4j.protocol import Py4JError, Py4JJavaError
from pyspark.errors.exceptions.captured import CapturedException

from finance_kafka.range_reader import OffsetOutOfRangeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyspark.sql import DataFrame

DATA_LOSS = "KAFKA_DATA_LOSS"
OUT_OF_RANGE_CLASSES = {"OffsetOutOfRangeException", "NoOffsetForPartitionException"}
# Spark converts milliseconds to microseconds. A batch does no other arithmetic on the contents of records in the JVM.
OVERFLOW = "java.lang.ArithmeticException"
MAX_CAUSES = 20
MAX_REASON_LENGTH = 300
CAUSE = re.compile(r"\b\w+(?:Exception|Error): [^\n]+")


class TimestampOverflowError(Exception):
    """Spark's Kafka source has read a timestamp that does not fit into microseconds."""


class BatchFailedError(Exception):
    """A function for `foreachBatch` has failed; the message is the innermost cause, in one line."""


@dataclass
class KeptError:
    """Keeps the error of a batch, which reaches Spark as text only."""

    error: Exception | None = None

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Keep an error of the block, and raise it."""
        try:
            yield
        except Exception as error:
            self.error = error
            raise


def in_one_line(process: Callable[[DataFrame, int], None]) -> Callable[[DataFrame, int], None]:
    """Return a function for `foreachBatch` whose errors reach Spark as one line.

    Spark searches the text of an error with a pattern that takes stack for each character. The text of a failed Spark job has
    pages of Java stack trace: the query's thread would die of it, and the query would end without its error.
    """

    def store(batch: DataFrame, number: int) -> None:
        try:
            process(batch, number)
        except Exception as error:  # noqa: BLE001 (raised again, as one line)
            raise BatchFailedError(innermost_cause(f"{type(error).__name__}: {error}")) from None

    return store


def innermost_cause(failure: str) -> str:
    """Return the innermost cause in one line; the message of a failed query or job is pages of Java stack trace."""
    causes = CAUSE.findall(failure)
    found: str = causes[-1] if causes else failure.strip().split("\n", 1)[0]
    return found.removeprefix(f"{BatchFailedError.__name__}: ")[:MAX_REASON_LENGTH]


@contextmanager
def raise_typed() -> Iterator[None]:
    """Translate two failures of Spark into typed errors; let others through.

    Raises OffsetOutOfRangeError for lost records, TimestampOverflowError for a timestamp that Spark cannot represent.
    """
    try:
        yield
    except (CapturedException, Py4JJavaError) as error:
        for cause in _causes(error.java_exception if isinstance(error, Py4JJavaError) else getattr(error, "_origin", None)):
            if _is_data_loss(cause):
                raise OffsetOutOfRangeError(str(cause.getMessage())) from error
            if cause.getClass().getName() == OVERFLOW:
                raise TimestampOverflowError from error
        raise


def _causes(throwable: Any) -> Iterator[Any]:  # noqa: ANN401
    for _ in range(MAX_CAUSES):
        if throwable is None:
            return
        yield throwable
        throwable = throwable.getCause()


def _is_data_loss(throwable: Any) -> bool:  # noqa: ANN401
    if throwable.getClass().getSimpleName() in OUT_OF_RANGE_CLASSES:
        return True
    return (_condition(throwable) or "").split(".")[0] == DATA_LOSS


def _condition(throwable: Any) -> str | None:  # noqa: ANN401
    try:
        return str(throwable.getCondition())
    except (Py4JError, TypeError):  # not one of Spark's errors
        return None
