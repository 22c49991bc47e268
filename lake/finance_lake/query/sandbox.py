"""Answer SQL queries from standard input, one after another, with no way out: `python -m finance_lake.query.sandbox MEGABYTES`.

DuckDB itself limits what its operators allocate and lets a query be interrupted between them; within a single expression
(`list_sum(range(1000000000))`) it does neither. So users' SQL runs in a process of its own, under the kernel's limits: memory
that is too much fails, time that is too long ends the process. Within it DuckDB loads no extension and has a locked
configuration.

Three things keep a statement from writing, each by itself enough: its parse tree is judged before it runs (`statement`), DuckDB
opens the lake's data files through a file system that can only read and gets no other path (`lake_files`), and where the kernel
has Landlock the process has given up the right to write (`landlock`).
"""

from __future__ import annotations

import os
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

from finance_lake.query.engine import CLOSED, unreadable
from finance_lake.query.intervals import without_intervals
from finance_lake.query.lake_files import LakeFiles
from finance_lake.query.landlock import renounce_writing
from finance_lake.query.selection import quoted
from finance_lake.query.statement import StatementError, require_reading
from finance_lake.query.values import count_values
from finance_storage.errors import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Sequence

GRACE_SECONDS = 1.0
MEGABYTE = 1024 * 1024
ROWS_PER_BATCH = 10_000
TIME = "time"
MEMORY = "memory"
SIZE = "size"
MAX_ERROR_LENGTH = 2000
# Within a stream of batches DuckDB's exceptions come as OSError, with these words at the beginning.
OVERDRAWN = ("Out of Memory Error", "\nMemoryError")  # the second from `lake_files`, with its traceback
UNREADABLE = "IO Error"


class SandboxQuery(msgspec.Struct):
    """What to answer: `views` are the tables, SQL by name; `files` are the names of all that they read, in these `folders`."""

    query: str
    views: dict[str, str]
    folders: dict[str, str]
    files: list[str]
    seconds: float
    rows: int
    values: int
    result_bytes: int


class SandboxAnswer(msgspec.Struct):
    """The line before the rows, which follow as an Arrow stream unless there is an error: TIME, MEMORY, SIZE or DuckDB's text.

    `unreadable` says that it was the lake's files that could not be read: others are never opened. `rows` follow.
    """

    error: str | None = None
    unreadable: bool = False
    cut: bool = False
    rows: int = 0


class TooLargeError(Exception):
    """The answer is more than the question allows."""


def main() -> None:
    """Answer until standard input ends."""
    megabytes = int(sys.argv[1])
    nothing = SandboxQuery("", {}, {}, [], 1, 1, 1, 1)
    _connection(megabytes, nothing, LakeFiles({}, [])).close()  # so that what the engine itself needs is there before the limit
    _confine(megabytes)
    renounce_writing()
    _head(sys.stdout.buffer, SandboxAnswer())  # ready
    for line in sys.stdin.buffer:
        question = msgspec.json.decode(line, type=SandboxQuery)
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


def _reply(out: BinaryIO, megabytes: int, question: SandboxQuery) -> None:
    try:
        rows, cut = _answer(megabytes, question)
    except (duckdb.InterruptException, TimeoutError):
        _head(out, SandboxAnswer(TIME))
    except (duckdb.OutOfMemoryException, MemoryError, pa.ArrowMemoryError):
        _head(out, SandboxAnswer(MEMORY))
    except TooLargeError:
        _head(out, SandboxAnswer(SIZE))
    except UnreadableError as error:
        _head(out, SandboxAnswer(str(error), unreadable=True))
    except (duckdb.Error, StatementError, OSError, OverflowError, ValueError, pa.ArrowException) as error:
        text = str(error)[:MAX_ERROR_LENGTH] or type(error).__name__
        _head(out, SandboxAnswer(MEMORY if any(words in text for words in OVERDRAWN) else text))
    else:
        _head(out, SandboxAnswer(cut=cut, rows=rows.num_rows))
        with pa.ipc.new_stream(out, rows.schema) as stream:
            stream.write_table(rows)
        out.flush()


def _head(out: BinaryIO, answer: SandboxAnswer) -> None:
    out.write(msgspec.json.encode(answer) + b"\n")
    out.flush()


def _answer(megabytes: int, question: SandboxQuery) -> tuple[pa.Table, bool]:
    files = LakeFiles(question.folders, question.files)
    try:
        connection = _connection(megabytes, question, files)
    except duckdb.OutOfMemoryException:
        raise
    except (duckdb.Error, OSError) as error:
        raise unreadable(files.failure or error) from None
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        connection.interrupt()

    timer = threading.Timer(question.seconds, expire)
    timer.start()
    try:
        require_reading(connection, question.query)
        return _first_rows(connection.sql(question.query), question)
    except (duckdb.Error, OSError) as error:
        if expired.is_set():  # an interrupt within a stream of batches comes as an OSError
            raise TimeoutError from None
        if files.failure or str(error).startswith(UNREADABLE):
            raise unreadable(files.failure or error) from None
        raise
    finally:
        timer.cancel()
        connection.close()


def _connection(megabytes: int, question: SandboxQuery, files: LakeFiles) -> duckdb.DuckDBPyConnection:
    limits = {"threads": str(min(4, os.cpu_count() or 1)), "memory_limit": f"{megabytes // 2}MiB", "temp_directory": ""}
    connection = duckdb.connect(":memory:", config={**CLOSED, **limits})
    connection.execute("SET TimeZone = 'UTC'")
    connection.register_filesystem(files)
    for name, sql in question.views.items():
        connection.execute(f"CREATE VIEW {name} AS {sql}")
    connection.execute(f"SET allowed_paths = [{', '.join(map(quoted, question.files))}]")
    connection.execute("SET enable_external_access = false; SET lock_configuration = true")
    return connection


def _first_rows(relation: duckdb.DuckDBPyRelation, question: SandboxQuery) -> tuple[pa.Table, bool]:
    reader = relation.to_arrow_reader(min(ROWS_PER_BATCH, question.rows + 1))
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
