"""The targets of chaos runs: a scratch lake of local processes or of containers."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

from finance_role.exit_codes import REFUSED
from tests.support.stack import ROOT, Run, Stack

if TYPE_CHECKING:
    from collections.abc import Mapping

SERVICES = ("zookeeper", "kafka", "producer", "spark-job")


class RefusedError(Exception):
    """A role has refused to start after the faults. The message is the end of its log."""


class LocalRig:
    """Each role under its own supervisor, so that the end of one does not stop the others."""

    def __init__(self, stack: Stack, settings: Mapping[str, str]) -> None:
        """Run the roles of `stack` with these settings."""
        self._stack = stack
        self._settings = settings
        self._runs: dict[str, Run] = {}

    def heal(self) -> None:
        """Start every role that is not running. Raises RefusedError if a role has refused to start."""
        for role in SERVICES:
            run = self._runs.get(role)
            if run is None or run.process.poll() is not None:
                if run is not None and f"ended with code {REFUSED}" in run.text():
                    raise RefusedError(run.text()[-2000:])
                self._runs[role] = self._stack.run("kafka topic-init" if role == "kafka" else role, **self._settings)

    def kill(self, role: str) -> None:
        """Send SIGKILL to all processes of a role, including its supervisor, which would restart a broker."""
        self._runs[role].kill_everything()

    def pause(self, role: str) -> None:
        """Send SIGSTOP."""
        self._signal(role, signal.SIGSTOP)

    def proceed(self, role: str) -> None:
        """Send SIGCONT."""
        self._signal(role, signal.SIGCONT)

    def stop(self, role: str) -> None:
        """Send SIGTERM and wait until the role ends."""
        run = self._runs[role]
        if run.process.poll() is None:
            run.process.send_signal(signal.SIGTERM)
        self._end(run)

    def stop_all(self) -> None:
        """Stop the roles in order, writers first."""
        for role in ("producer", "spark-job", "kafka", "zookeeper"):
            if role in self._runs:
                self.stop(role)

    def kill_all(self) -> None:
        """Kill all remaining processes."""
        for run in self._stack.runs:
            run.kill_everything()

    def _end(self, run: Run) -> None:
        try:
            run.process.wait(150)
        except subprocess.TimeoutExpired:
            run.kill_everything()
            raise

    def _signal(self, role: str, number: signal.Signals) -> None:
        for process in self._processes(role):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def _processes(self, role: str) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self._runs[role].process.pid).children(recursive=True)
        return []


class ContainerRig:
    """The Compose stack under its own project name."""

    def __init__(self, project: str, environment: Mapping[str, str]) -> None:
        """Use existing images."""
        self._command = ["docker", "compose", "--project-name", project]
        self._environment = {**os.environ, **environment}

    def heal(self) -> None:
        """Start every service that is not running. Raises RefusedError if the job has refused to start."""
        if f'"ExitCode":{REFUSED}' in self._compose("ps", "--all", "--format", "json"):
            raise RefusedError(self._compose("logs", "--no-log-prefix", "--tail", "20", "spark-job"))
        self._compose("up", "--detach", "--no-build")

    def kill(self, role: str) -> None:
        """Send SIGKILL to the container."""
        self._compose("kill", "--signal", "KILL", role, check=False)

    def pause(self, role: str) -> None:
        """Freeze the container."""
        self._compose("pause", role, check=False)

    def proceed(self, role: str) -> None:
        """Unfreeze the container."""
        self._compose("unpause", role, check=False)

    def stop(self, role: str) -> None:
        """Send SIGTERM and wait until the container ends."""
        self._compose("stop", role)

    def stop_all(self) -> None:
        """Stop and remove the containers; the data stays."""
        self._compose("down")

    def kill_all(self) -> None:
        """Kill and remove all containers."""
        self._compose("down", "--timeout", "1", check=False)

    def _compose(self, *arguments: str, check: bool = True) -> str:
        done = subprocess.run(
            [*self._command, *arguments],
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if check and done.returncode:
            logs = self._compose("logs", "--tail", "20", check=False)
            what = f"docker compose {' '.join(arguments)} ended with {done.returncode}"
            raise RuntimeError(f"{what}: {done.stderr[-2000:]}\n{logs}")
        return done.stdout
