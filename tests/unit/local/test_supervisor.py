"""The supervisor with real processes: order, readiness, faults, and no process left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from finance_local import supervisor as supervisor_module
from finance_local.roles import Role
from finance_local.supervisor import RoleEndedError, Supervisor
from finance_role.heartbeat import Heartbeat, heartbeat_file, is_alive
from finance_role.lock import AlreadyRunningError, hold

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine

    Processes = Callable[[], set[int]]

PATIENCE_SECONDS = 10.0
FOLDERS = [str(Path(__file__).parents[3] / "role")]

RUNS = "import signal; print('up', flush=True); signal.pause()"
SAYS_GOODBYE = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: (print("down", flush=True), sys.exit(0)))
print("up", flush=True)
while True:
    signal.pause()
"""
IGNORES_SIGTERM = """
import os, signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"
subprocess.Popen([sys.executable, "-I", "-S", "-c", child])
while True:
    signal.pause()
"""
LEAVES_A_CHILD = """
import subprocess, sys
child = "import os, signal; print('up', os.getpid(), flush=True); signal.pause()"
subprocess.Popen([sys.executable, "-I", "-S", "-c", child])
sys.exit(3)
"""


class Output:
    """The output lines of the roles."""

    def __init__(self) -> None:
        """Start with no lines."""
        self.lines: list[tuple[str, str]] = []

    def note(self, role: str, text: str) -> None:
        """Add a line."""
        self.lines.append((role, text))

    def by(self, role: str) -> list[str]:
        """Return the lines of a role."""
        return [text for name, text in self.lines if name == role]

    async def until(self, role: str, text: str) -> None:
        """Wait until a role has printed a line."""
        await until(lambda: text in self.by(role))


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        await asyncio.sleep(0.01)


def role(  # noqa: PLR0913
    name: str,
    code: str,
    *,
    is_ready: Callable[[], Awaitable[bool]] | None = None,
    may_finish: bool = False,
    takes_own_lock: bool = False,
    grace_seconds: float = PATIENCE_SECONDS,
) -> Role:
    command = [sys.executable, "-I", "-S", "-c", code]
    return Role(name, command, grace_seconds, {}, is_ready, may_finish, takes_own_lock)


async def immediately() -> bool:
    return True


async def never() -> bool:
    return False


def ready_when_up(output: Output, name: str) -> Callable[[], Awaitable[bool]]:
    async def is_ready() -> bool:
        return "up" in output.by(name)

    return is_ready


@asynccontextmanager
async def supervising(folder: Path, output: Output, *roles: Role) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor({role.name: role for role in roles}, folder, output.note)
    try:
        yield supervisor
    finally:
        await supervisor.stop()


@asynccontextmanager
async def two_running_roles(folder: Path, output: Output) -> AsyncIterator[Supervisor]:
    roles = [role(name, RUNS, is_ready=ready_when_up(output, name)) for name in ("kafka", "producer")]
    async with supervising(folder, output, *roles) as supervisor:
        await supervisor.start()
        yield supervisor


def run(scenario: Coroutine[None, None, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 2 * PATIENCE_SECONDS))


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def running(session_of: int | None = None) -> set[int]:
    """Return the processes that descend from this one, or those of a session, without zombies."""
    processes: dict[int, tuple[int, int]] = {}
    for folder in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            state, parent, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if state not in "ZX":
                processes[int(folder.name)] = int(parent), int(session)
    if session_of is not None:
        return {pid for pid, (_, session) in processes.items() if session == session_of}
    below = {os.getpid()}
    while more := {pid for pid, (parent, _) in processes.items() if parent in below} - below:
        below |= more
    return below - {os.getpid()}


@pytest.fixture
def processes() -> Processes:
    """Return the running processes that this test has started; other tests may keep a broker."""
    before = running()
    return lambda: running() - before


@pytest.fixture
def output() -> Output:
    return Output()


def test_a_role_starts_when_the_one_before_it_is_ready_and_not_sooner(tmp_path: Path, output: Output) -> None:
    polls = 0
    is_open = asyncio.Event()

    async def zookeeper_is_ready() -> bool:
        nonlocal polls
        polls += 1
        return is_open.is_set()

    async def scenario() -> None:
        roles = role("kafka", RUNS, is_ready=immediately), role("zookeeper", RUNS, is_ready=zookeeper_is_ready)
        async with supervising(tmp_path, output, *roles) as supervisor:
            starting = asyncio.create_task(supervisor.start())
            await output.until("zookeeper", "up")
            await until(lambda: polls >= 3)
            assert output.by("kafka") == []
            assert not (tmp_path / "locks" / "kafka.lock").exists()
            is_open.set()
            await starting
            await output.until("kafka", "up")

    run(scenario())


def test_a_one_shot_ends_before_the_roles_that_need_it_start(tmp_path: Path, output: Output) -> None:
    async def scenario() -> None:
        roles = role("producer", RUNS, is_ready=immediately), role("topic-init", "print('made')")
        async with supervising(tmp_path, output, *roles) as supervisor:
            await supervisor.start()
            await output.until("producer", "up")
            assert output.lines == [("topic-init", "made"), ("producer", "up")]

    run(scenario())


def test_a_finished_one_shot_is_not_a_failure(tmp_path: Path, output: Output) -> None:
    async def scenario() -> None:
        async with supervising(tmp_path, output, role("topic-init", "print('made')")) as supervisor:
            await supervisor.start()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(supervisor.until_one_ends(), 0.05)

    run(scenario())


def test_a_one_shot_that_fails_ends_the_start_and_is_named(tmp_path: Path, output: Output) -> None:
    async def scenario() -> None:
        roles = role("topic-init", "print('oh'); raise SystemExit(1)"), role("producer", RUNS, is_ready=immediately)
        async with supervising(tmp_path, output, *roles) as supervisor:
            with pytest.raises(RoleEndedError, match=r"^topic-init ended with code 1"):
                await supervisor.start()
        assert output.lines == [("topic-init", "oh")]

    run(scenario())


def test_a_role_that_ends_before_it_is_ready_ends_the_start_and_is_named(tmp_path: Path, output: Output) -> None:
    async def scenario() -> None:
        async with supervising(tmp_path, output, role("kafka", "raise SystemExit(7)", is_ready=never)) as supervisor:
            with pytest.raises(RoleEndedError, match=r"^kafka ended with code 7"):
                await supervisor.start()

    run(scenario())


@pytest.mark.parametrize(("code", "end"), [("raise SystemExit(3)", 3), ("pass", 0), ("import os; os.kill(os.getpid(), 9)", -9)])
def test_a_role_that_ends_later_is_named_with_its_code(
    tmp_path: Path, output: Output, code: str, end: int, processes: Processes
) -> None:
    async def scenario() -> None:
        waits = f"import signal; signal.signal(signal.SIGUSR1, lambda *_: 0); print('up', flush=True); signal.pause(); {code}"
        async with supervising(tmp_path, output, role("kafka", waits, is_ready=ready_when_up(output, "kafka"))) as supervisor:
            await supervisor.start()
            ended = asyncio.create_task(supervisor.until_one_ends())
            (pid,) = processes()
            os.kill(pid, signal.SIGUSR1)
            with pytest.raises(RoleEndedError, match=rf"^kafka ended with code {end}"):
                await ended

    run(scenario())


def test_the_end_of_a_role_is_noticed_although_its_child_runs_on(tmp_path: Path, output: Output) -> None:
    async def scenario() -> None:
        async with supervising(tmp_path, output, role("spark-job", LEAVES_A_CHILD, is_ready=immediately)) as supervisor:
            with pytest.raises(RoleEndedError, match=r"^spark-job ended with code 3"):
                await asyncio.wait_for(asyncio.gather(supervisor.start(), supervisor.until_one_ends()), PATIENCE_SECONDS / 2)
            await until(lambda: bool(output.lines))
            child = int(output.lines[0][1].split()[1])
            assert exists(child)
        await until(lambda: child not in running(os.getsid(child) if exists(child) else -1))

    run(scenario())


def test_the_start_ends_with_a_role_whose_child_runs_on(tmp_path: Path, output: Output) -> None:
    async def scenario() -> None:
        async with supervising(tmp_path, output, role("spark-job", LEAVES_A_CHILD, is_ready=never)) as supervisor:
            with pytest.raises(RoleEndedError, match=r"^spark-job ended with code 3"):
                await asyncio.wait_for(supervisor.start(), PATIENCE_SECONDS / 2)

    run(scenario())


def test_a_role_that_may_finish_can_end_with_0(tmp_path: Path, output: Output) -> None:
    async def scenario() -> None:
        async with supervising(
            tmp_path, output, role("producer", "print('sent')", is_ready=never, may_finish=True)
        ) as supervisor:
            await supervisor.start()
            assert output.lines == [("producer", "sent")]
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(supervisor.until_one_ends(), 0.05)

    run(scenario())


def test_a_role_that_may_finish_must_not_fail(tmp_path: Path, output: Output) -> None:
    async def scenario() -> None:
        failing = role("producer", "raise SystemExit(1)", is_ready=never, may_finish=True)
        async with supervising(tmp_path, output, failing) as supervisor:
            with pytest.raises(RoleEndedError, match="producer"):
                await supervisor.start()

    run(scenario())


def test_roles_stop_one_after_another_writers_first_and_zookeeper_last(
    tmp_path: Path, output: Output, processes: Processes
) -> None:
    names = ["zookeeper", "kafka", "spark-job", "producer"]

    async def scenario() -> None:
        roles = [role(name, SAYS_GOODBYE, is_ready=ready_when_up(output, name)) for name in names]
        async with supervising(tmp_path, output, *roles) as supervisor:
            await supervisor.start()
            output.lines.clear()
            await supervisor.stop()
            assert output.lines == [(name, "down") for name in ("producer", "spark-job", "kafka", "zookeeper")]
            assert processes() == set()

    run(scenario())


def test_a_role_is_not_stopped_before_the_previous_one_has_ended(tmp_path: Path, output: Output) -> None:
    slow = SAYS_GOODBYE.replace('print("down"', 'sys.stdin.close() or [None for _ in range(3_000_000)] and print("down"')

    async def scenario() -> None:
        roles = [
            role("producer", slow, is_ready=ready_when_up(output, "producer")),
            role("kafka", SAYS_GOODBYE, is_ready=ready_when_up(output, "kafka")),
        ]
        async with supervising(tmp_path, output, *roles) as supervisor:
            await supervisor.start()
            output.lines.clear()
            await supervisor.stop()
            assert output.lines == [("producer", "down"), ("kafka", "down")]

    run(scenario())


def test_a_named_role_can_be_stopped_alone(tmp_path: Path, output: Output, processes: Processes) -> None:
    async def scenario() -> None:
        async with two_running_roles(tmp_path, output) as supervisor:
            assert len(processes()) == 2
            assert set(await supervisor.stop("producer")) == {"producer"}
            assert len(processes()) == 1
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(supervisor.until_one_ends(), 0.05)

    run(scenario())


def test_the_exit_code_of_a_role_that_fails_while_stopping_is_returned(tmp_path: Path, output: Output) -> None:
    unsent = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(1)); print('up', flush=True); time.sleep(60)"

    async def scenario() -> None:
        failing = role("producer", unsent, is_ready=ready_when_up(output, "producer"))
        async with supervising(tmp_path, output, failing) as supervisor:
            await supervisor.start()
            assert await supervisor.stop("producer") == {"producer": 1}

    run(scenario())


def test_a_role_that_ignores_sigterm_is_killed_with_its_children_after_its_grace_period(
    tmp_path: Path, output: Output, processes: Processes
) -> None:
    async def scenario() -> None:
        stubborn = role("kafka", IGNORES_SIGTERM, is_ready=ready_when_up(output, "kafka"), grace_seconds=0.2)
        async with supervising(tmp_path, output, stubborn) as supervisor:
            await supervisor.start()
            (pid,) = {pid for pid in processes() if os.getsid(pid) == pid}
            assert len(running(pid)) == 2
            started = time.monotonic()
            await supervisor.stop()
            assert time.monotonic() - started >= 0.2
            assert output.by("kafka")[-1] == "did not stop within 0 s and was killed"
            await until(lambda: running(pid) == set())

    run(scenario())


def test_children_of_a_role_that_stops_in_time_are_not_left_behind(
    tmp_path: Path, output: Output, processes: Processes
) -> None:
    careless = IGNORES_SIGTERM.replace("signal.signal(signal.SIGTERM, signal.SIG_IGN)\nchild", "child")

    async def scenario() -> None:
        async with supervising(
            tmp_path, output, role("kafka", careless, is_ready=ready_when_up(output, "kafka"), grace_seconds=0.2)
        ) as supervisor:
            await supervisor.start()
            (pid,) = {pid for pid in processes() if os.getsid(pid) == pid}
            assert len(running(pid)) == 2
            await supervisor.stop()
            await until(lambda: running(pid) == set())
            assert not any("was killed" in line for line in output.by("kafka"))

    run(scenario())


def test_each_role_runs_in_its_own_session(tmp_path: Path, output: Output, processes: Processes) -> None:
    async def scenario() -> None:
        async with two_running_roles(tmp_path, output):
            pids = processes()
            assert {os.getsid(pid) for pid in pids} == pids
            assert os.getsid(0) not in pids

    run(scenario())


def test_the_lock_of_a_role_is_held_while_it_runs(tmp_path: Path, output: Output) -> None:
    async def scenario() -> None:
        async with supervising(tmp_path, output, role("kafka", RUNS, is_ready=ready_when_up(output, "kafka"))) as supervisor:
            await supervisor.start()
            with pytest.raises(AlreadyRunningError, match="kafka already runs"):
                hold(tmp_path, "kafka")
            await supervisor.stop()
            hold(tmp_path, "kafka").close()

    run(scenario())


def test_a_role_that_takes_its_own_lock_finds_it_free(tmp_path: Path, output: Output) -> None:
    async def scenario() -> None:
        owner = role("producer", RUNS, is_ready=ready_when_up(output, "producer"), takes_own_lock=True)
        async with supervising(tmp_path, output, owner) as supervisor:
            await supervisor.start()
            hold(tmp_path, "producer").close()

    run(scenario())


def test_a_role_that_runs_elsewhere_is_not_started_again(tmp_path: Path, output: Output, processes: Processes) -> None:
    async def scenario() -> None:
        roles = [role(name, RUNS, is_ready=ready_when_up(output, name)) for name in ("zookeeper", "kafka")]
        with hold(tmp_path, "kafka"):
            async with supervising(tmp_path, output, *roles) as supervisor:
                with pytest.raises(AlreadyRunningError, match="kafka already runs"):
                    await supervisor.start()
                assert len(processes()) == 1
        assert output.by("kafka") == []
        assert processes() == set()

    run(scenario())


def test_the_heartbeat_of_an_earlier_run_does_not_make_a_role_ready(tmp_path: Path, output: Output) -> None:
    beats = heartbeat_file(tmp_path, "spark-job")
    Heartbeat(beats, patience_seconds=3600).beat()
    polls = 0

    async def has_a_heartbeat() -> bool:
        nonlocal polls
        polls += 1
        return is_alive(beats)

    async def scenario() -> None:
        job = role("spark-job", RUNS, is_ready=has_a_heartbeat, takes_own_lock=True)
        async with supervising(tmp_path, output, job) as supervisor:
            starting = asyncio.create_task(supervisor.start())
            await until(lambda: polls >= 3 or starting.done())
            assert not starting.done()
            Heartbeat(beats, patience_seconds=3600).beat()
            await starting

    run(scenario())


def test_a_role_that_was_stopped_does_not_count_as_alive(tmp_path: Path, output: Output) -> None:
    beats = heartbeat_file(tmp_path, "spark-job")

    async def scenario() -> None:
        job = role("spark-job", RUNS, is_ready=immediately, takes_own_lock=True)
        async with supervising(tmp_path, output, job) as supervisor:
            await supervisor.start()
            Heartbeat(beats, patience_seconds=3600).beat()
            await supervisor.stop()
            assert not is_alive(beats)

    run(scenario())


def test_stdout_and_stderr_of_a_role_are_shown_whatever_their_bytes(tmp_path: Path, output: Output) -> None:
    code = r"import sys; sys.stdout.buffer.write(b'a\xff\n\nno end'); sys.stdout.flush(); sys.stderr.write('\nerror')"

    async def scenario() -> None:
        async with supervising(tmp_path, output, role("topic-init", code)) as supervisor:
            await supervisor.start()
            assert output.by("topic-init") == ["a\N{REPLACEMENT CHARACTER}", "", "no end", "error"]

    run(scenario())


def test_a_very_long_line_is_skipped(tmp_path: Path, output: Output) -> None:
    code = "print('x' * 5_000_000, flush=True); print('after', flush=True)"

    async def scenario() -> None:
        async with supervising(tmp_path, output, role("topic-init", code)) as supervisor:
            await supervisor.start()
            assert output.by("topic-init")[-1] == "after"

    run(scenario())


def test_the_environment_of_a_role_is_added_to_that_of_the_supervisor(
    tmp_path: Path, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEED", "8")
    monkeypatch.setenv("DATA_DIR", "elsewhere")
    code = "import os; print(os.environ['SEED'], os.environ['DATA_DIR'])"
    command = [sys.executable, "-S", "-c", code]

    async def scenario() -> None:
        async with supervising(tmp_path, output, Role("topic-init", command, 1, {"DATA_DIR": "here"})) as supervisor:
            await supervisor.start()
            assert output.by("topic-init") == ["8 here"]

    run(scenario())


def dies_on_signal(name: str, *, restarts: int, output: Output) -> Role:
    code = (
        "import os, signal, sys; signal.signal(signal.SIGUSR1, lambda *_: sys.exit(3)); print('up', flush=True); signal.pause()"
    )
    command = [sys.executable, "-I", "-S", "-c", code]
    return Role(name, command, PATIENCE_SECONDS, {}, ready_when_up(output, name), restarts=restarts)


@pytest.fixture
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "RESTART_PAUSE_SECONDS", 0.01)


@pytest.mark.usefixtures("_no_pause")
def test_a_broker_that_ends_is_restarted_a_limited_number_of_times(
    tmp_path: Path, output: Output, processes: Processes
) -> None:
    async def scenario() -> None:
        async with supervising(tmp_path, output, dies_on_signal("kafka", restarts=2, output=output)) as supervisor:
            await supervisor.start()
            ended = asyncio.create_task(supervisor.until_one_ends())
            for number in (1, 2, 3):
                await until(lambda: output.by("kafka").count("up") == number and len(processes()) == 1)  # noqa: B023
                assert not ended.done()
                os.kill(processes().pop(), signal.SIGUSR1)
            with pytest.raises(RoleEndedError, match=r"^kafka ended with code 3"):
                await ended
        again = [line for line in output.by("kafka") if "started again" in line]
        assert again == [f"ended with code 3 and is started again ({n} of 2 times in ten minutes)" for n in (1, 2)]

    run(scenario())


@pytest.mark.usefixtures("_no_pause")
def test_old_restarts_do_not_count(
    tmp_path: Path, output: Output, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, "RESTART_WINDOW_SECONDS", 0.0)

    async def scenario() -> None:
        async with supervising(tmp_path, output, dies_on_signal("kafka", restarts=1, output=output)) as supervisor:
            await supervisor.start()
            for number in (1, 2, 3):
                await until(lambda: output.by("kafka").count("up") == number and len(processes()) == 1)  # noqa: B023
                os.kill(processes().pop(), signal.SIGUSR1)
            await until(lambda: output.by("kafka").count("up") == 4)

    run(scenario())


def test_a_role_that_ends_before_it_was_ready_is_not_restarted(tmp_path: Path, output: Output) -> None:
    async def scenario() -> None:
        dies = Role("kafka", [sys.executable, "-c", "raise SystemExit(3)"], 1, {}, never, restarts=3)
        async with supervising(tmp_path, output, dies) as supervisor:
            with pytest.raises(RoleEndedError, match="kafka ended with code 3"):
                await supervisor.start()

    run(scenario())


@pytest.mark.parametrize("pause", [0.0, 5.0])
def test_a_stop_during_a_restart_leaves_no_process_behind(
    tmp_path: Path, output: Output, processes: Processes, monkeypatch: pytest.MonkeyPatch, pause: float
) -> None:
    monkeypatch.setattr(supervisor_module, "RESTART_PAUSE_SECONDS", pause)
    monkeypatch.setattr(supervisor_module, "LAST_LINES_SECONDS", 0.01)

    async def scenario() -> None:
        async with supervising(tmp_path, output, dies_on_signal("kafka", restarts=3, output=output)) as supervisor:
            await supervisor.start()
            os.kill(processes().pop(), signal.SIGUSR1)
            await until(lambda: any("started again" in line for line in output.by("kafka")))
            await supervisor.stop()
            assert processes() == set()
            hold(tmp_path, "kafka").close()

    run(scenario())


def test_roles_end_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux signals a child when its parent ends")
    code = f"""
import asyncio, sys
from pathlib import Path
from finance_local import supervisor as supervisor_module
from finance_local.roles import Role
from finance_local.supervisor import Supervisor

async def main():
    waits = "import os, signal; print(os.getpid(), flush=True); signal.pause()"
    role = Role("zookeeper", [sys.executable, "-I", "-S", "-c", waits], 1, {{}}, ready)
    await Supervisor({{"zookeeper": role}}, Path({str(tmp_path)!r}), lambda _, text: print(text, flush=True)).start()
    await asyncio.sleep(60)

async def ready():
    return True

asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        parent.kill()
        asyncio.run(until(lambda: not running_now(pid)))


def running_now(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def test_a_role_gets_only_listed_variables_of_the_callers_environment(
    tmp_path: Path, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Duser.language=ar")
    monkeypatch.setenv("LC_ALL", "ar_EG.UTF-8")
    code = "import os; print(os.environ.get('JAVA_TOOL_OPTIONS'), os.environ['LC_ALL'])"

    async def scenario() -> None:
        async with supervising(tmp_path, output, role("topic-init", code)) as supervisor:
            await supervisor.start()
            assert output.by("topic-init") == ["None C.UTF-8"]

    run(scenario())
