"""Start the roles that an import needs and does not find, from a checkout that `make local` has prepared; then stop them."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from finance_lake.cli.app import say
from finance_local.config import Settings
from finance_local.console import log_file
from finance_local.importing.target import POLL_SECONDS, START, TargetError
from finance_local.with_env import ENV_FILE
from finance_role.child import end_with_parent
from finance_role.environment import composed
from finance_role.heartbeat import heartbeat_file, is_alive
from finance_role.lock import holder_of
from finance_role.settings import settings_or_exit
from finance_storage.paths import LakePaths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from finance_local.importing.target import Target

PROJECT = Path(__file__).parents[3]
JARS = Path("build/jars/.ready")
JOB = "spark-job"
OF_A_CONTAINER = "container "


def missing_roles(target: Target, project: Path = PROJECT) -> list[str]:
    """Return the roles to start for an import: none if the job runs, or if they cannot be started from here.

    They cannot if `project` has no jars, as where the package is installed from a wheel, or if a part of the lake runs in
    containers. Raises TargetError if the brokers at KAFKA_BOOTSTRAP do not answer.
    """
    folder = target.paths.folder
    if _job_runs(target) or not (project / JARS).is_file():
        return []
    settings = settings_or_exit(Settings)
    if str(LakePaths.of(settings, folder).root) != str(target.paths.root):  # --data names a folder, the settings a bucket
        return []
    if settings.kafka_bootstrap:
        target.describe()
    holders = {role: holder_of(folder, role) for role in settings.roles if role != "producer"}
    if holders.get(JOB) != "" or any(holder.startswith(OF_A_CONTAINER) for holder in holders.values()):
        return []
    return [role for role, holder in holders.items() if not holder]


@contextmanager
def started(target: Target, roles: Sequence[str], stopping: Callable[[], bool]) -> Iterator[None]:
    """Within it, the roles run, or `stopping` is true. Raises TargetError if they end before they are ready."""
    if not roles:
        yield
        return
    say(f"Starting {', '.join(roles)} of the lake at {target.paths.root} for this import ...")
    # In a process of its own, so that Ctrl-C does not reach the roles before the import has stopped.
    with subprocess.Popen(
        [sys.executable, "-m", "finance_local"],
        cwd=PROJECT,
        env=_environment(target, roles),
        preexec_fn=end_with_parent(),  # noqa: PLW1509 (it makes one system call)
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as supervisor:
        try:
            _wait_until_ready(target, supervisor, stopping)
            yield
        finally:
            supervisor.terminate()
            supervisor.wait()
            say(f"Stopped {', '.join(roles)}; all data is kept.")


def _environment(target: Target, roles: Sequence[str]) -> dict[str, str]:
    own = {"ROLES": " ".join(roles), "DATA_DIR": str(target.paths.folder.resolve()), "ENV_FILE": str(ENV_FILE)}
    return composed({**own, "RUN_SECONDS": "0", "SPARK_UI_PORT": "0"})


def _wait_until_ready(target: Target, supervisor: subprocess.Popen[str], stopping: Callable[[], bool]) -> None:
    while not _job_runs(target) and not stopping():
        if supervisor.poll() is not None:
            why = supervisor.communicate()[1].strip()
            more = f" {log} has more lines." if (log := log_file(target.paths.folder)).exists() else ""
            raise TargetError(f"{why}\nThe lake did not start, and nothing is sent.{more} {START}.")
        time.sleep(POLL_SECONDS)


def _job_runs(target: Target) -> bool:
    return is_alive(heartbeat_file(target.paths.folder, JOB))
