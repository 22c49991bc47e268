"""A sandboxed process that answers SQL queries from standard input: `python -m finance_lake.query.sandbox MEGABYTES`.

DuckDB limits the memory of its operators and can be interrupted between them, but not within a single expression
(`list_sum(range(1000000000))`). So users' SQL runs in a separate process under the kernel's limits: allocating too much memory
fails, and running too long ends the process. In this process DuckDB loads no extensions and has a locked configuration.

Three independent measures keep a statement from writing: its parse tree is checked before it runs (`statement`); DuckDB opens
data files only through a read-only file system and gets no other path (`lake_files`); and if the kernel has Landlock, the
process has dropped the right to write (`landlock`).
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
from finance_lake.query.landlock import forbid_writing
from finance_lake.query.selection import quoted
from finance_lake.query.statement import QueryRejectedError, require_reading
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
# While batches are streamed, DuckDB's exceptions arrive as OSError with these texts.
OUT_OF_MEMORY = ("Out of Memory Error", "\nMemoryError")  # the second from `lake_files`, with its traceback
UNREADABLE = "IO Error"


class SandboxQuery(msgspec.Struct):
    """A query and its limits. `views` maps table names to SQL, which reads `files`; `folders` maps tables to folders."""

    query: str
    views: dict[str, str]
    folders: dict[str, str]
    files: list[str]
    seconds: float
    rows: int
    values: int
    result_bytes: int


class SandboxAnswer(msgspec.Struct):
    """The first line of an answer. Unless there is an error, an Arrow stream of `rows` rows follows.

    `error` is TIME, MEMORY, SIZE or DuckDB's message. `unreadable` means that data files of the lake could not be read.
    """

    error: str | None = None
    unreadable: bool = False
    cut: bool = False
    rows: int = 0


class TooLargeError(Exception):
    """The result is larger than the query's limits."""


def main() -> None:
    """Answer queries until standard input ends."""
    megabytes = int(sys.argv[1])
    empty = SandboxQuery("", {}, {}, [], 1, 1, 1, 1)
    _connection(megabytes, empty, LakeFiles({}, [])).close()  # allocates what DuckDB itself needs before the limit is set
    _confine(megabytes)
    forbid_writing()
    _head(sys.stdout.buffer, SandboxAnswer())  # ready
    for line in sys.stdin.buffer:
        question = msgspec.json.decode(line, type=SandboxQuery)
        signal.setitimer(signal.ITIMER_REAL, question.seconds + GRACE_SECONDS)  # SIGALRM ends the process
        _reply(sys.stdout.buffer, megabytes, question)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _confine(megabytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    if sys.platform == "linux":  # other kernels do not enforce it, so only DuckDB's own limit applies
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
    except (duckdb.Error, QueryRejectedError, OSError, OverflowError, ValueError, pa.ArrowException) as error:
        text = str(error)[:MAX_ERROR_LENGTH] or type(error).__name__
        _head(out, SandboxAnswer(MEMORY if any(words in text for words in OUT_OF_MEMORY) else text))
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
        if expired.is_set():  # an interrupt during streaming arrives as an OSError
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
    batches, row_count, values, size = [], 0, 0, 0
    for batch in reader:
        batches.append(batch)
        row_count += batch.num_rows
        values += count_values(batch)
        size += batch.nbytes
        if values > question.values or size > question.result_bytes:
            raise TooLargeError
        if row_count > question.rows:
            break
    rows = pa.Table.from_batches(batches, reader.schema).slice(0, question.rows)
    return without_intervals(rows.rename_columns(_unique_names(rows.column_names))), row_count > question.rows


def _unique_names(names: Sequence[str]) -> list[str]:
    """Make column names unique, as DuckDB does for a subquery: `SELECT t.price, l.price` gets price and price_1."""
    used = set(names)
    unique: list[str] = []
    for name in names:
        numbered = (f"{name}_{number}" for number in count(1))
        unique.append(next(candidate for candidate in numbered if candidate not in used) if name in unique else name)
        used.add(unique[-1])
    return unique


if __name__ == "__main__":
    main()
