"""SQL of users: asked of a process that can do nothing else, see `sandbox`."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa

from finance_lake.errors import QueryError, UnreadableError
from finance_lake.reading.bars import partial, whole
from finance_lake.reading.latest import candidates, newest
from finance_lake.reading.sandbox import MEGABYTE, MEMORY, SIZE, TIME, Answer, Question
from finance_lake.reading.selection import UNIT_US
from finance_lake.reading.source import source
from finance_lake.state.layout import QUARANTINE, TICKS
from finance_lake.text import plain
from finance_role.paths import by_name

if TYPE_CHECKING:
    from finance_lake.reading.snapshot import Snapshot

SANDBOX = "finance_lake.reading.sandbox"
IDLE = 2
LONGEST_QUERY = 100_000
LONGEST_MESSAGE = 500


@dataclass(frozen=True)
class Limits:
    """What a query may cost: seconds and megabytes of memory; and its result: rows, values (in lists, too), megabytes."""

    seconds: float = 30
    megabytes: int = 1024
    rows: int = 1_000_000
    values: int = 100_000_000
    result_megabytes: int = 1024


def views(snapshot: Snapshot) -> dict[str, str]:
    """Give the tables that SQL may name, as SQL."""
    minute = UNIT_US["m"]
    return {
        "ticks": f"SELECT * FROM {source(TICKS, [file.path for file in snapshot.ticks])}",
        "quarantine": f"SELECT * FROM {source(QUARANTINE, [file.path for file in snapshot.quarantine])}",
        "bars_1m": whole(partial("ticks", minute), minute),
        "latest": newest(candidates("ticks")),
    }


class Sandboxes:
    """The processes. One that has answered is kept for the next query; one that had to be ended is replaced."""

    def __init__(self) -> None:
        """Start none yet."""
        self._idle: dict[int, list[subprocess.Popen[bytes]]] = {}
        self._lock = threading.Lock()

    def ask(self, snapshot: Snapshot, query: str, limits: Limits) -> tuple[pa.Table, bool]:
        """Answer a query; whether rows were cut off comes with them. Raises QueryError, UnreadableError."""
        if len(query) > LONGEST_QUERY:
            raise QueryError(f"The query has {len(query):,} characters; {LONGEST_QUERY:,} are taken.")
        files = [file.path for file in (*snapshot.ticks, *snapshot.quarantine)]
        size = limits.result_megabytes * MEGABYTE
        question = Question(query, views(snapshot), files, limits.seconds, limits.rows, limits.values, size)
        process = self._take(limits.megabytes)
        try:
            answer, rows = _asked(process, question)
        except (OSError, EOFError, msgspec.DecodeError, pa.ArrowException):
            _end(process)
            raise QueryError(_last_words(process.returncode, limits)) from None
        except BaseException:
            _end(process)
            raise
        self._give_back(limits.megabytes, process)
        if answer.unreadable:
            raise UnreadableError(by_name(str(answer.error)))
        if rows is None:
            raise QueryError(_refusal(str(answer.error), limits))
        return rows, answer.cut

    def close(self) -> None:
        """End the idle processes."""
        with self._lock:
            idle = [process for processes in self._idle.values() for process in processes]
            self._idle.clear()
        for process in idle:
            _end(process)

    def _take(self, megabytes: int) -> subprocess.Popen[bytes]:
        with self._lock:
            if idle := self._idle.get(megabytes):
                return idle.pop()
        # -P: what lies in the current folder is no module of ours.
        command = [sys.executable, "-P", "-m", SANDBOX, str(megabytes)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout  # noqa: S101 (a pipe)
        if not process.stdout.readline():
            _end(process)
            raise QueryError(
                f"The process that answers SQL cannot start, it ended with code {process.returncode}: "
                "`financelake doctor` says what is wrong on this machine."
            )
        return process

    def _give_back(self, megabytes: int, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            idle = self._idle.setdefault(megabytes, [])
            if len(idle) < IDLE:
                idle.append(process)
                return
        _end(process)


def _asked(process: subprocess.Popen[bytes], question: Question) -> tuple[Answer, pa.Table | None]:
    assert process.stdin  # noqa: S101 (a pipe)
    assert process.stdout  # noqa: S101 (a pipe)
    process.stdin.write(msgspec.json.encode(question) + b"\n")
    process.stdin.flush()
    if not (head := process.stdout.readline()):
        raise EOFError
    answer = msgspec.json.decode(head, type=Answer)
    if answer.error:
        return answer, None
    rows = pa.ipc.open_stream(process.stdout).read_all()
    if rows.num_rows != answer.rows:  # a stream that breaks off between two batches reads like a whole one
        raise EOFError
    return answer, rows


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill() if process.poll() is None else None
    for pipe in (process.stdin, process.stdout):
        if pipe:
            try:
                pipe.close()
            except OSError:  # what it was not able to take in
                continue
    process.wait()


def _last_words(code: int, limits: Limits) -> str:
    """Say why a process ended before it answered: by its clock, or because memory failed where nothing could be said."""
    return _refusal(TIME if code == -signal.SIGALRM else MEMORY, limits)


def _refusal(error: str, limits: Limits) -> str:
    if error == TIME:
        return f"The query took longer than {limits.seconds:g} s and was ended: read less, with WHERE on symbol and ts_event."
    if error == MEMORY:
        return (
            f"The query needs more than the {limits.megabytes:,} MB that it may use: read or return less, or aggregate first."
        )
    if error == SIZE:
        return (
            f"The result is larger than {limits.values:,} values or {limits.result_megabytes:,} MB: "
            "select less, add LIMIT, or aggregate."
        )
    lines = [plain(line) for line in error.splitlines() if line.strip()]
    return "\n".join(lines)[:LONGEST_MESSAGE]
