"""What chaos strikes: a scratch lake of local processes, or of containers."""

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
    """A role has refused to start on the state that the faults have left; the message is what it said."""


class LocalRig:
    """Each role under a supervisor of its own, so that the death of one leaves the others alone."""

    def __init__(self, stack: Stack, settings: Mapping[str, str]) -> None:
        """Take a stack whose roles all get these settings."""
        self._stack = stack
        self._settings = settings
        self._runs: dict[str, Run] = {}

    def heal(self) -> None:
        """Start every role that does not run; raise RefusedError if one of them has refused."""
        for role in SERVICES:
            run = self._runs.get(role)
            if run is None or run.process.poll() is not None:
                if run is not None and f"ended with code {REFUSED}" in run.text():
                    raise RefusedError(run.text()[-2000:])
                self._runs[role] = self._stack.run("kafka topic-init" if role == "kafka" else role, **self._settings)

    def kill(self, role: str) -> None:
        """SIGKILL to all of its processes at once, its supervisor too, which would start a broker again."""
        self._runs[role].kill_everything()

    def pause(self, role: str) -> None:
        """SIGSTOP."""
        self._signal(role, signal.SIGSTOP)

    def proceed(self, role: str) -> None:
        """SIGCONT."""
        self._signal(role, signal.SIGCONT)

    def stop(self, role: str) -> None:
        """SIGTERM, and wait."""
        run = self._runs[role]
        if run.process.poll() is None:
            run.process.send_signal(signal.SIGTERM)
        self._end(run)

    def stop_all(self) -> None:
        """Stop in order: writers first."""
        for role in ("producer", "spark-job", "kafka", "zookeeper"):
            if role in self._runs:
                self.stop(role)

    def kill_all(self) -> None:
        """Leave nothing behind, whatever has happened."""
        for run in self._stack.runs:
            run.kill_everything()

    def _end(self, run: Run) -> None:
        try:
            run.process.wait(150)
        except subprocess.TimeoutExpired:
            run.kill_everything()
            raise

    def _signal(self, role: str, number: signal.Signals) -> None:
        for process in self._family(role):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def _family(self, role: str) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self._runs[role].process.pid).children(recursive=True)
        return []


class ContainerRig:
    """The compose stack under a project name of its own."""

    def __init__(self, project: str, environment: Mapping[str, str]) -> None:
        """Build nothing: the images are there."""
        self._command = ["docker", "compose", "--project-name", project]
        self._environment = {**os.environ, **environment}

    def heal(self) -> None:
        """Start what does not run; raise RefusedError if the job has refused."""
        if f'"ExitCode":{REFUSED}' in self._compose("ps", "--all", "--format", "json"):
            raise RefusedError(self._compose("logs", "--no-log-prefix", "--tail", "20", "spark-job"))
        self._compose("up", "--detach", "--no-build")

    def kill(self, role: str) -> None:
        """SIGKILL to the container."""
        self._compose("kill", "--signal", "KILL", role, check=False)

    def pause(self, role: str) -> None:
        """Freeze the container."""
        self._compose("pause", role, check=False)

    def proceed(self, role: str) -> None:
        """Thaw it."""
        self._compose("unpause", role, check=False)

    def stop(self, role: str) -> None:
        """SIGTERM, and wait."""
        self._compose("stop", role)

    def stop_all(self) -> None:
        """Stop and remove the containers; the data stays."""
        self._compose("down")

    def kill_all(self) -> None:
        """Leave nothing behind, whatever has happened."""
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
            told = self._compose("logs", "--tail", "20", check=False)
            what = f"docker compose {' '.join(arguments)} ended with {done.returncode}"
            raise RuntimeError(f"{what}: {done.stderr[-2000:]}\n{told}")
        return done.stdout
