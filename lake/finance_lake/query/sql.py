"""Run users' SQL in separate processes, see `sandbox`."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa

import finance_contract
import finance_lake.query
import finance_role
from finance_lake.query.bars import partial, whole
from finance_lake.query.lake_files import name_of
from finance_lake.query.latest import candidates, newest
from finance_lake.query.relations import source
from finance_lake.query.sandbox import MEGABYTE, MEMORY, SIZE, TIME, SandboxAnswer, SandboxQuery
from finance_lake.query.selection import UNIT_US
from finance_role.environment import composed, importing
from finance_role.text import plain
from finance_storage.bucket_cache import fetch, readable_folder
from finance_storage.errors import QueryError, UnreadableError
from finance_storage.paths import QUARANTINE, TICKS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from finance_lake.query.snapshot import Snapshot

SANDBOX = "finance_lake.query.sandbox"
IDLE = 2
MAX_QUERY_LENGTH = 100_000
MAX_MESSAGE_LENGTH = 500
ENDED_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


@dataclass(frozen=True)
class Limits:
    """Limits of a query: seconds and megabytes of memory; and of its result: rows, values (also in lists), megabytes."""

    seconds: float = 30
    megabytes: int = 1024
    rows: int = 1_000_000
    values: int = 100_000_000
    result_megabytes: int = 1024


def files(snapshot: Snapshot, table: str) -> list[str]:
    """Return the names of a table's data files in `LakeFiles`."""
    return [name_of(table, file.name) for file in {TICKS: snapshot.ticks, QUARANTINE: snapshot.quarantine}[table]]


def views(snapshot: Snapshot, ticks: Iterable[str], quarantine: Iterable[str]) -> dict[str, str]:
    """Return the views that queries may use, as SQL over the names of data files."""
    minute = UNIT_US["m"]
    return {
        "ticks": f"SELECT * FROM {source(TICKS, ticks, snapshot.later_ticks)}",
        "quarantine": f"SELECT * FROM {source(QUARANTINE, quarantine, snapshot.later_quarantine)}",
        "bars_1m": whole(partial("ticks", minute), minute),
        "latest": newest(candidates("ticks")),
    }


class Cancel:
    """Cancels a query from another thread."""

    def __init__(self) -> None:
        """Create one that is not cancelled."""
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self.cancelled = False

    def __call__(self) -> None:
        """Stop the process that runs the query, now or as soon as it is asked."""
        with self._lock:
            self.cancelled = True
            if self._process:
                self._process.kill()

    def watch(self, process: subprocess.Popen[bytes] | None) -> None:
        """Set the process that runs the query; None once it has answered."""
        with self._lock:
            self._process = process
            if process and self.cancelled:
                process.kill()


class _EndedError(Exception):
    """A process ended before it answered, with this exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Sandboxes:
    """A pool of sandbox processes. They are reused, except after a failure."""

    def __init__(self) -> None:
        """Create an empty pool; processes start on demand."""
        self._idle: dict[int, list[subprocess.Popen[bytes]]] = {}
        self._lock = threading.Lock()

    def ask(self, snapshot: Snapshot, query: str, limits: Limits, cancel: Cancel | None = None) -> tuple[pa.Table, bool]:
        """Return the rows of a query, and whether rows were cut off. Raises QueryError, also if cancelled, UnreadableError."""
        cancel = cancel or Cancel()
        if len(query) > MAX_QUERY_LENGTH:
            raise QueryError(f"The query has {len(query):,} characters; at most {MAX_QUERY_LENGTH:,} are allowed.")
        ticks, quarantine = files(snapshot, TICKS), files(snapshot, QUARANTINE)
        size = limits.result_megabytes * MEGABYTE
        tables = views(snapshot, ticks, quarantine)
        folders = {name: str(readable_folder(snapshot.paths.table(name)).absolute()) for name in (TICKS, QUARANTINE)}
        fetch(file.path for file in (*snapshot.ticks, *snapshot.quarantine))
        question = SandboxQuery(query, tables, folders, ticks + quarantine, limits.seconds, limits.rows, limits.values, size)
        try:
            answer, rows = self._answer(question, limits, cancel)
        except _EndedError as ended:
            if cancel.cancelled:
                raise QueryError("The query was cancelled.") from None
            raise QueryError(_explain_exit(ended.code, limits)) from None
        if answer.unreadable:
            raise UnreadableError(str(answer.error))
        if rows is None:
            raise QueryError(_refusal(str(answer.error), limits))
        return rows, answer.cut

    def _answer(self, question: SandboxQuery, limits: Limits, cancel: Cancel) -> tuple[SandboxAnswer, pa.Table | None]:
        """Ask an idle process. If it runs out of memory or ends, except by its time limit, ask a new one."""
        deadline = time.monotonic() + limits.seconds
        if process := self._take_idle(limits.megabytes):
            try:
                answer, rows = self._ask(process, question, limits, cancel)
            except _EndedError as ended:
                if ended.code == -signal.SIGALRM or cancel.cancelled:
                    raise
            else:
                if answer.error != MEMORY:
                    return answer, rows
            question.seconds = deadline - time.monotonic()
            if question.seconds <= 0:
                return SandboxAnswer(TIME), None
        return self._ask(_started(limits.megabytes), question, limits, cancel)

    def _ask(
        self, process: subprocess.Popen[bytes], question: SandboxQuery, limits: Limits, cancel: Cancel
    ) -> tuple[SandboxAnswer, pa.Table | None]:
        """Ask one process. It is reused unless it ran out of memory: the next query would lack what it still holds."""
        cancel.watch(process)
        try:
            answer, rows = _asked(process, question)
        except (OSError, EOFError, msgspec.DecodeError, pa.ArrowException):
            _end(process)
            raise _EndedError(process.returncode) from None
        except BaseException:
            _end(process)
            raise
        finally:
            cancel.watch(None)
        if answer.error == MEMORY or cancel.cancelled:
            _end(process)
        else:
            self._give_back(limits.megabytes, process)
        return answer, rows

    def close(self) -> None:
        """Stop the idle processes."""
        with self._lock:
            idle = [process for processes in self._idle.values() for process in processes]
            self._idle.clear()
        for process in idle:
            _end(process)

    def _take_idle(self, megabytes: int) -> subprocess.Popen[bytes] | None:
        with self._lock:
            idle = self._idle.get(megabytes)
            return idle.pop() if idle else None

    def _give_back(self, megabytes: int, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            idle = self._idle.setdefault(megabytes, [])
            if len(idle) < IDLE:
                idle.append(process)
                return
        _end(process)


def environment() -> dict[str, str]:
    """Return the environment of a sandbox process: nothing from the caller, and no settings, which it does not read."""
    return composed(importing(finance_contract, finance_lake.query, finance_role), settings=False)


def _started(megabytes: int) -> subprocess.Popen[bytes]:
    """Start a process. Raises QueryError."""
    # -P: do not import modules from the current folder. Own process group: Ctrl-C goes to the shell, which ends the process.
    command = [sys.executable, "-P", "-m", SANDBOX, str(megabytes)]
    # It ends when its standard input closes, even if this process is killed. It outlives the thread that starts it.
    process = subprocess.Popen(
        command,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    assert process.stdout  # noqa: S101 (a pipe)
    try:
        ready = process.stdout.readline()
    except BaseException:
        _end(process)
        raise
    if not ready:
        _end(process)
        raise QueryError(
            f"The SQL process cannot start; it ended with exit code {process.returncode}. "
            "`financelake doctor` shows what is wrong on this machine."
        )
    return process


def _asked(process: subprocess.Popen[bytes], question: SandboxQuery) -> tuple[SandboxAnswer, pa.Table | None]:
    assert process.stdin  # noqa: S101 (a pipe)
    assert process.stdout  # noqa: S101 (a pipe)
    process.stdin.write(msgspec.json.encode(question) + b"\n")
    process.stdin.flush()
    if not (head := process.stdout.readline()):
        raise EOFError
    answer = msgspec.json.decode(head, type=SandboxAnswer)
    if answer.error:
        return answer, None
    rows = pa.ipc.open_stream(process.stdout).read_all()
    if rows.num_rows != answer.rows:  # a stream that ends between two batches looks complete
        raise EOFError
    return answer, rows


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill() if process.poll() is None else None
    for pipe in (process.stdin, process.stdout):
        if pipe:
            try:
                pipe.close()
            except OSError:  # buffered input that the process did not read
                continue
    process.wait()


def _explain_exit(code: int, limits: Limits) -> str:
    """Explain why a process ended without an answer: by its timer, killed from outside, or else out of memory."""
    if code == -signal.SIGALRM:
        return _refusal(TIME, limits)
    if -code in ENDED_FROM_OUTSIDE:
        name = signal.Signals(-code).name
        return f"The SQL process was killed from outside ({name}): run the query again. The machine may be short of memory."
    return _refusal(MEMORY, limits)


def _refusal(error: str, limits: Limits) -> str:
    if error == TIME:
        return f"The query took longer than {limits.seconds:g} s and was stopped: read less, with WHERE on symbol and ts_event."
    if error == MEMORY:
        return f"The query needs more than the {limits.megabytes:,} MB allowed: read or return less, or aggregate first."
    if error == SIZE:
        return (
            f"The result is larger than {limits.values:,} values or {limits.result_megabytes:,} MB: "
            "select less, add LIMIT, or aggregate."
        )
    lines = [plain(line) for line in error.splitlines() if line.strip()]
    return "\n".join(lines)[:MAX_MESSAGE_LENGTH]
