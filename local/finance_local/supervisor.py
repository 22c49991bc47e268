"""Start roles in order, watch them, stop them in order, and leave no process behind.

honcho and circus start and stop processes too, but neither waits for readiness between starts nor stops processes one after
another. This module exists for that order (docs/adr/0005).
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from finance_local.roles import STARTING, STOPPING
from finance_role import beneath
from finance_role.child import end_with_parent
from finance_role.environment import composed
from finance_role.heartbeat import heartbeat_file
from finance_role.lock import AlreadyRunningError, hold

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from finance_local.roles import Role

POLL_SECONDS = 0.1
LAST_LINES_SECONDS = 1.0
MAX_LINE_BYTES = 1024 * 1024
RESTART_PAUSE_SECONDS = 1.0
RESTART_WINDOW_SECONDS = 600.0


class RoleEndedError(Exception):
    """A role ended unexpectedly; the message names it."""


class Supervisor:
    """Runs the processes of the roles. `say(role, line)` shows a line of a role's output."""

    def __init__(self, roles: Mapping[str, Role], data_dir: Path, say: Callable[[str, str], None]) -> None:
        """Accept the roles to run; nothing starts yet."""
        self._roles = roles
        self._data_dir = data_dir
        self._say = say
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._expected_to_end: set[str] = set()
        self._was_ready: set[str] = set()
        self._restarted: dict[str, list[float]] = {}
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        """Start all roles, each stage once the one before it is ready."""
        for stage in STARTING:
            chosen = [self._roles[name] for name in stage if name in self._roles]
            for role in chosen:
                await self._start(role)
            for role in chosen:
                await self._wait_until_ready(role)

    async def until_one_ends(self) -> None:
        """Wait forever; raise RoleEndedError when a role ends unexpectedly."""
        await asyncio.shield(self._ended)

    async def stop(self, *names: str) -> dict[str, int]:
        """Stop the named roles, or all, in stopping order: SIGTERM, the role's grace period, SIGKILL for it and its children.

        Return the exit codes by role; the code of a killed role is negative.
        """
        codes = {}
        for name in STOPPING:
            if name in self._processes and (name in names or not names):
                codes[name] = await self._stop(self._roles[name], self._processes.pop(name))
        return codes

    async def _start(self, role: Role) -> None:
        beneath.remove(self._data_dir, heartbeat_file(self._data_dir, role.name))  # do not trust the file of an earlier run
        # With `start_new_session`, Ctrl-C in the terminal reaches only the supervisor.
        lock = None if role.takes_own_lock else hold(self._data_dir, role.name)
        try:
            process = await asyncio.create_subprocess_exec(
                *role.command,
                env=composed(role.environment),
                preexec_fn=end_with_parent(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                limit=MAX_LINE_BYTES,
                start_new_session=True,
                pass_fds=[lock.fileno()] if lock else [],
            )
        finally:
            if lock:
                lock.close()
        self._processes[role.name] = process
        self._tasks[role.name] = asyncio.create_task(self._follow(role, process))

    async def _follow(self, role: Role, process: asyncio.subprocess.Process) -> None:
        # Children of a role may outlive it and keep its output open, so the role may end before its output does.
        showing = asyncio.create_task(self._show(role, process))
        while process.returncode is None:
            await asyncio.sleep(POLL_SECONDS)
        beneath.remove(self._data_dir, heartbeat_file(self._data_dir, role.name))  # its deadline may still lie in the future
        await asyncio.wait([showing], timeout=LAST_LINES_SECONDS)
        code = process.returncode
        is_expected = role.name in self._expected_to_end or (code == 0 and (role.may_finish or role.is_ready is None))
        if not is_expected and self._may_start_again(role):
            self._kill_group(role, process)
            await self._start_again(role, code)
        elif not is_expected:
            self._fail(role, f"ended with code {code}; see its last lines above.")
        await showing

    def _fail(self, role: Role, how: str) -> None:
        if not self._ended.done():
            self._ended.set_exception(RoleEndedError(f"{role.name} {how}"))

    def _may_start_again(self, role: Role) -> bool:
        now = time.monotonic()
        recent = [at for at in self._restarted.get(role.name, []) if now - at < RESTART_WINDOW_SECONDS]
        self._restarted[role.name] = [*recent, now]
        return role.name in self._was_ready and len(recent) < role.restarts

    async def _start_again(self, role: Role, code: int) -> None:
        number = len(self._restarted[role.name])
        self._say(role.name, f"ended with code {code} and is started again ({number} of {role.restarts} times in ten minutes)")
        await asyncio.sleep(RESTART_PAUSE_SECONDS)
        if role.name in self._expected_to_end:
            return
        try:
            await self._start(role)
        except AlreadyRunningError as error:
            self._fail(role, f"cannot start again: {error}")
        if role.name in self._expected_to_end:  # `stop` was called meanwhile
            await self._stop(role, self._processes.pop(role.name))

    async def _show(self, role: Role, process: asyncio.subprocess.Process) -> None:
        while process.stdout:
            try:
                line = await process.stdout.readline()
            except ValueError:  # asyncio has discarded the line
                self._say(role.name, "(a line of more than 1 MiB is not shown)")
                continue
            if not line:
                return
            self._say(role.name, line.decode(errors="replace").rstrip("\n"))

    async def _wait_until_ready(self, role: Role) -> None:
        process = self._processes[role.name]
        while process.returncode is None and not (role.is_ready and await role.is_ready()):
            await asyncio.sleep(POLL_SECONDS)
        if process.returncode is not None:
            # Do not wait only for the follower: a child of the role that keeps its output open would block the start.
            await asyncio.wait([self._tasks[role.name], self._ended], return_when=asyncio.FIRST_COMPLETED)
        if self._ended.done():
            await self._ended
        self._was_ready.add(role.name)

    async def _stop(self, role: Role, process: asyncio.subprocess.Process) -> int:
        self._expected_to_end.add(role.name)
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.terminate()
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(process.wait(), role.grace_seconds)
        self._kill_group(role, process)
        await self._tasks.pop(role.name)
        return await process.wait()

    def _kill_group(self, role: Role, process: asyncio.subprocess.Process) -> None:
        is_late = process.returncode is None
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        if is_late:
            self._say(role.name, f"did not stop within {role.grace_seconds:.0f} s and was killed")
