"""`make chaos SEED=7 ROUNDS=30`: inject random faults into a scratch lake under load, let it heal, then verify and reconcile.

Settings, all optional, from the environment: SEED (drawn and printed if absent), ROUNDS (30), RUN_SECONDS (start no more rounds
after this time), CHAOS_IN (`local` or `containers`), KEEP=1 (keep the scratch lake; a failed one is kept anyway). The lake is
in build/chaos/<seed>, never the user's. Exit code 0 if both end with 0 and no role has refused to start.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

from pydantic import Field
from pydantic_settings import BaseSettings

from finance_kafka.describe import BrokerUnavailableError
from finance_storage.delta_table import committed_offsets
from finance_storage.paths import LakePaths
from tests.chaos.faults import Fault, schedule
from tests.chaos.rigs import ContainerRig, LocalRig, RefusedError
from tests.support.disk import full, small_disk
from tests.support.stack import ROOT, Stack, free_port, wait_for_derived, wait_until

if TYPE_CHECKING:
    from pathlib import Path

LOAD = {
    "TICKS_PER_SECOND": "1000",
    "MALFORMED_RATE": "0.01",
    "TRIGGER_SECONDS": "0.5",
    "BARS_SECONDS": "2",
    "DELIVERY_TIMEOUT_SECONDS": "300",
    "HISTORY_MINUTES": "0",  # it would fill the small disk
}
PATIENCE_SECONDS = 240


class ChaosSettings(BaseSettings):
    """The settings of a run."""

    seed: int = Field(default_factory=lambda: secrets.randbelow(10**6))
    rounds: int = Field(30, ge=1)
    run_seconds: float = Field(float("inf"), gt=0)
    chaos_in: str = Field("local", pattern="^(local|containers)$")
    keep: bool = False


class Chaos:
    """One chaos run."""

    def __init__(self, settings: ChaosSettings, folder: Path, disk: Path | None) -> None:
        """Prepare the scratch lake; `disk` is the small volume that it is on, None if the machine cannot mount one."""
        self._settings = settings
        self._disk = disk
        self._stack = Stack(folder, free_port(), free_port(), "finance")
        self._paths = LakePaths(folder / "data")
        self._rig = self._make_rig()
        self.done: Counter[str] = Counter()

    def run(self) -> int:
        """Inject faults and heal; return the exit code of verify, or that of reconcile if verify ends with 0."""
        started = time.monotonic()
        self._rig.heal()
        self._wait_for_progress()
        for number, fault in enumerate(schedule(self._settings.seed, self._settings.rounds), 1):
            if time.monotonic() - started > self._settings.run_seconds:
                break
            print(f"round {number}: {fault}", flush=True)
            self._inject(fault)
            if number % 5 == 0:
                self._wait_for_progress()
        print("healing ...", flush=True)
        self._wait_for_progress()
        self._rig.stop("producer")
        self._wait_until_stored()
        wait_for_derived(self._paths, PATIENCE_SECONDS)
        return self._command("verify") or self._command("reconcile")

    def close(self, *, in_order: bool) -> None:
        """Stop the roles in order if `in_order`, then kill what is left."""
        try:
            if in_order:
                self._rig.stop_all()
        finally:
            self._rig.kill_all()

    def _make_rig(self) -> LocalRig | ContainerRig:
        if self._settings.chaos_in == "local":
            return LocalRig(self._stack, LOAD)
        ports = {"KAFKA_PORT": str(self._stack.kafka_port), "SPARK_UI_PORT": str(free_port())}
        owner = {"LAKE_UID": "1000", "LAKE_GID": "1000"}
        os.chown(self._paths.root, 1000, 1000)
        return ContainerRig(f"chaos-{self._settings.seed}", {"DATA_DIR": str(self._paths.root), **owner, **ports, **LOAD})

    def _inject(self, fault: Fault) -> None:
        if fault.kind == "fill the disk" and self._disk is None:
            self.done["fill the disk: skipped, no small volume here"] += 1
            return
        time.sleep(fault.after_seconds)  # part of the schedule, not a wait for an event
        self.done[f"{fault.kind} {' and '.join(fault.roles)}".strip()] += 1
        if fault.kind == "fill the disk":
            assert self._disk is not None
            with full(self._disk):
                time.sleep(fault.lasts_seconds)
        for role in fault.roles:
            {"pause": self._rig.pause, "stop": self._rig.stop}.get(fault.kind, self._rig.kill)(role)
        time.sleep(fault.lasts_seconds)
        if fault.kind == "pause":
            self._rig.proceed(*fault.roles)
        self._rig.heal()

    def _wait_for_progress(self) -> None:
        before = sum(committed_offsets(self._paths.ticks).values())

        def progressed() -> bool:
            self._rig.heal()
            return sum(committed_offsets(self._paths.ticks).values()) > before

        wait_until(progressed, PATIENCE_SECONDS, "the table grows")

    def _wait_until_stored(self) -> None:
        def stored() -> bool:
            try:
                ends = self._stack.end_offsets()
            except BrokerUnavailableError:
                return False
            committed = committed_offsets(self._paths.ticks)
            return all(committed.get(partition, 0) >= end for partition, end in ends.items())

        wait_until(stored, PATIENCE_SECONDS, "all of the topic is stored")

    def _command(self, name: str) -> int:
        lake = {"DATA_DIR": str(self._paths.root), "KAFKA_BOOTSTRAP": self._stack.bootstrap, "KAFKA_TOPIC": "finance"}
        command = [sys.executable, "-m", "finance_lake", name]
        return subprocess.run(command, cwd=ROOT, env={**os.environ, **lake}, check=False).returncode


def main() -> int:
    """Run, then print the faults and the verdict."""
    settings = ChaosSettings()
    folder = ROOT / "build" / "chaos" / str(settings.seed)
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "data").mkdir(parents=True)
    print(f"chaos: SEED={settings.seed} ROUNDS={settings.rounds} CHAOS_IN={settings.chaos_in}, in {folder}", flush=True)
    with small_disk(folder / "data") as disk:
        chaos = Chaos(settings, folder, disk)
        code, failure = 1, ""
        try:
            code = chaos.run()
        except (RefusedError, AssertionError, RuntimeError) as error:
            failure = f"{type(error).__name__}: {error}"
        finally:
            chaos.close(in_order=code == 0)
            _clean_up(folder, disk, keep=settings.keep or code != 0)
    for what, times in sorted(chaos.done.items()):
        print(f"{times:4} x {what}")
    print(
        failure or f"verify and reconcile ended with {code}",
        f"SEED={settings.seed}",
        "proven" if code == 0 else "NOT proven",
        sep="; ",
    )
    return 0 if code == 0 else 1


def _clean_up(folder: Path, disk: Path | None, *, keep: bool) -> None:
    """Remove the scratch lake; with `keep`, copy it first, because the small volume is unmounted afterwards."""
    kept = folder.with_name(f"{folder.name}-kept")
    if keep:
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(folder, kept)
        print(f"the lake is kept at {kept}")
    for path in [] if disk else [folder]:
        shutil.rmtree(path)


if __name__ == "__main__":
    sys.exit(main())
