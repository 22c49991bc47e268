"""Answer one SQL query after another from standard input, with no way out: `python -m finance_lake.reading.sandbox MEGABYTES`.

DuckDB itself limits what its operators allocate and lets a query be interrupted between them; within a single expression
(`list_sum(range(1000000000))`) it does neither. So users' SQL runs in a process of its own, under the kernel's limits: memory
that is too much fails, time that is too long ends the process, no file can be changed. Within it DuckDB reads the data files
that it was given and no other, loads no extension, and takes one SELECT statement.

DuckDB allows what it may read to be written as well, and a SELECT can hold a COPY (`WITH x AS (COPY ...) FROM x`). So words
that lead to a COPY are refused; and should there be others, the kernel keeps the files as they are (`landlock`), where it can.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import sys
import threading
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import duckdb
import msgspec
import pyarrow as pa

from finance_lake.errors import UnreadableError
from finance_lake.reading.engine import CLOSED, unreadable
from finance_lake.reading.intervals import without_intervals
from finance_lake.reading.landlock import renounce_writing
from finance_lake.reading.selection import quoted
from finance_lake.reading.size import count_values

if TYPE_CHECKING:
    from collections.abc import Sequence

GRACE_SECONDS = 1.0
MEGABYTE = 1024 * 1024
ROWS_A_BATCH = 10_000
TIME = "time"
MEMORY = "memory"
SIZE = "size"
LONGEST_ERROR = 2000
# DuckDB's way to a COPY that is not written down as one is a statement as JSON.
WRITING = re.compile(r"\b(copy|json_execute_serialized_sql)\b", re.IGNORECASE)
# Within a stream of batches DuckDB's exceptions come as OSError, with these words at the beginning.
OVERDRAWN = "Out of Memory Error"
UNREADABLE = "IO Error"


class Question(msgspec.Struct):
    """What to answer: `views` are the tables, SQL by name; `files` are all that they read."""

    query: str
    views: dict[str, str]
    files: list[str]
    seconds: float
    rows: int
    values: int
    result_bytes: int


class Answer(msgspec.Struct):
    """The line before the rows, which follow as an Arrow stream unless there is an error: TIME, MEMORY, SIZE or DuckDB's text.

    `unreadable` says that it was the lake's files that could not be read: others are never opened. `rows` follow.
    """

    error: str | None = None
    unreadable: bool = False
    cut: bool = False
    rows: int = 0


class RefusedError(Exception):
    """Not one SELECT statement."""


class TooLargeError(Exception):
    """The answer is more than the question allows."""


def main() -> None:
    """Answer until standard input ends."""
    megabytes = int(sys.argv[1])
    nothing = Question("", {}, [], 1, 1, 1, 1)
    _connection(megabytes, nothing).close()  # so that what the engine itself needs is there before the limit
    _confine(megabytes)
    renounce_writing()
    _head(sys.stdout.buffer, Answer())  # ready
    for line in sys.stdin.buffer:
        question = msgspec.json.decode(line, type=Question)
        signal.setitimer(signal.ITIMER_REAL, question.seconds + GRACE_SECONDS)  # SIGALRM ends the process
        _reply(sys.stdout.buffer, megabytes, question)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _confine(megabytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    if sys.platform == "linux":  # elsewhere the kernel does not count it, and DuckDB's own limit has to do
        status = Path("/proc/self/status").read_text(encoding="ascii")
        used = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmData:"))
        resource.setrlimit(resource.RLIMIT_DATA, (used + megabytes * MEGABYTE,) * 2)


def _reply(out: BinaryIO, megabytes: int, question: Question) -> None:
    try:
        rows, cut = _answer(megabytes, question)
    except (duckdb.InterruptException, TimeoutError):
        _head(out, Answer(TIME))
    except (duckdb.OutOfMemoryException, MemoryError, pa.ArrowMemoryError):
        _head(out, Answer(MEMORY))
    except TooLargeError:
        _head(out, Answer(SIZE))
    except UnreadableError as error:
        _head(out, Answer(str(error), unreadable=True))
    except (duckdb.Error, RefusedError, OSError, OverflowError, ValueError, pa.ArrowException) as error:
        text = str(error)[:LONGEST_ERROR] or type(error).__name__
        _head(out, Answer(MEMORY if OVERDRAWN in text else text))
    else:
        _head(out, Answer(cut=cut, rows=rows.num_rows))
        with pa.ipc.new_stream(out, rows.schema) as stream:
            stream.write_table(rows)
        out.flush()


def _head(out: BinaryIO, answer: Answer) -> None:
    out.write(msgspec.json.encode(answer) + b"\n")
    out.flush()


def _answer(megabytes: int, question: Question) -> tuple[pa.Table, bool]:
    connection = _connection(megabytes, question)
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        connection.interrupt()

    timer = threading.Timer(question.seconds, expire)
    timer.start()
    try:
        return _first_rows(_only_select(connection, question.query), question)
    except (duckdb.Error, OSError) as error:
        if expired.is_set():  # an interrupt within a stream of batches comes as an OSError
            raise TimeoutError from None
        if str(error).startswith(UNREADABLE):
            raise unreadable(error) from None
        raise
    finally:
        timer.cancel()
        connection.close()


def _connection(megabytes: int, question: Question) -> duckdb.DuckDBPyConnection:
    limits = {"threads": str(min(4, os.cpu_count() or 1)), "memory_limit": f"{megabytes // 2}MiB", "temp_directory": ""}
    connection = duckdb.connect(":memory:", config={**CLOSED, **limits})
    connection.execute("SET TimeZone = 'UTC'")
    try:
        for name, sql in question.views.items():
            connection.execute(f"CREATE VIEW {name} AS {sql}")
    except (duckdb.IOException, duckdb.InvalidInputException) as error:
        raise unreadable(error) from None
    connection.execute(f"SET allowed_paths = [{', '.join(map(quoted, question.files))}]")
    connection.execute("SET enable_external_access = false; SET lock_configuration = true")
    return connection


def _only_select(connection: duckdb.DuckDBPyConnection, query: str) -> duckdb.DuckDBPyRelation:
    statements: Sequence[duckdb.Statement] = connection.extract_statements(query)
    if len(statements) != 1:
        raise RefusedError(f"One SELECT statement is taken, not {len(statements) or 'none'}.")
    if statements[0].type != duckdb.StatementType.SELECT:
        raise RefusedError("Only SELECT is taken: the lake is read here, never written.")
    if word := WRITING.search(query):
        raise RefusedError(f"{word[0]!r} is not taken, wherever it stands: the lake is read here, never written.")
    return connection.sql(query)


def _first_rows(relation: duckdb.DuckDBPyRelation, question: Question) -> tuple[pa.Table, bool]:
    reader = relation.to_arrow_reader(min(ROWS_A_BATCH, question.rows + 1))
    batches, found, values, size = [], 0, 0, 0
    for batch in reader:
        batches.append(batch)
        found += batch.num_rows
        values += count_values(batch)
        size += batch.nbytes
        if values > question.values or size > question.result_bytes:
            raise TooLargeError
        if found > question.rows:
            break
    rows = pa.Table.from_batches(batches, reader.schema).slice(0, question.rows)
    return without_intervals(rows.rename_columns(_told_apart(rows.column_names))), found > question.rows


def _told_apart(names: Sequence[str]) -> list[str]:
    """Give each column a name of its own, as DuckDB does for a subquery: `SELECT t.price, l.price` has price and price_1."""
    taken = set(names)
    told: list[str] = []
    for name in names:
        free = (f"{name}_{number}" for number in count(1))
        told.append(next(one for one in free if one not in taken) if name in told else name)
        taken.add(told[-1])
    return told


if __name__ == "__main__":
    main()
