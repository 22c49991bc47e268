"""docs/OPERATE.md: an operator starts, backs up, kills, restores, moves and upgrades a lake with the page's commands."""

from __future__ import annotations

import argparse
import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewPartitions

from finance_producer.publisher import client_config
from tests.stack.test_takeover import RETENTION, unpack
from tests.support.beside import beside
from tests.support.imports import FINANCELAKE, environment, financelake
from tests.support.stack import ROOT, Stack, wait_for_derived, wait_until

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

pytestmark = [pytest.mark.stack, pytest.mark.long]

PAGE = (ROOT / "docs" / "OPERATE.md").read_text()
SECTION = re.compile(r"^## (.*?)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = {title: [block.splitlines() for block in BLOCK.findall(text)] for title, text in SECTION.findall(PAGE)}
START, UPGRADE = (BLOCKS[title][0] for title in ("Start and stop", "Upgrade"))
BACKUP, GENERATION = BLOCKS["Backup while it runs"]
IN_PLACE, ELSEWHERE, (EXPORT, IMPORT) = BLOCKS["Restore"]
(MOVE,) = BLOCKS["Move to another machine"]
WITH_TOOLS, WITHOUT_TOOLS = BLOCKS["Add partitions"]
(DISK,) = BLOCKS["Disk"]
(ALERTS,) = BLOCKS["Alerts"]
PORT, TOPIC = "9092", "finance"
CRON = re.search(r"^```cron\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
UNIT = re.search(r"^```ini\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
REFRESH = "topic.metadata.refresh.interval.ms"
OPEN_NS = 1_704_465_000 * 10**9


class Operator:
    """Runs lines of the page in a folder that has `data`; what the page has in `/mnt` and `/srv` is there too."""

    def __init__(self, stack: Stack, **settings: str | float) -> None:
        """Operate the lake of `stack`; each `make local` gets these settings."""
        self.stack = stack
        self.lakes = {"": stack}
        self._settings = settings
        for folder in ("mnt/backup", "srv"):
            (stack.folder / folder).mkdir(parents=True)
        (stack.folder / ".env").write_text("TICK_SOURCE=none\n")

    def type(self, lines: list[str]) -> str:
        """Run lines one after the other; return what they print. Each must exit with 0."""
        return "".join(map(self._run, lines))

    def _run(self, line: str) -> str:
        lake = self._lake(re.match(r"DATA_DIR=(/\S+)", line))
        if line.endswith("make local"):
            roles = "" if "KAFKA_BOOTSTRAP" in self._settings else "zookeeper kafka topic-init spark-job"
            run = lake.run(roles, **self._settings)
            run.wait_for("Running:")
            lake.wait_until_stored()
            return run.text()
        done = subprocess.run(
            ["bash", "-c", self._here(line)],
            cwd=self.stack.folder,
            env={**environment(lake), "KAFKA_PORT": str(lake.kafka_port)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
        return done.stdout

    def _here(self, line: str) -> str:
        line = re.sub(r"(?<![\w.])/(mnt|srv)/", rf"{shlex.quote(str(self.stack.folder))}/\1/", line)
        line = re.sub(r"\bfinancelake (?=\w)", f"{shlex.quote(FINANCELAKE)} ", line)
        line = re.sub(r"^python\b", shlex.quote(sys.executable), line)
        return line.replace(f":{PORT}", f":{self.stack.kafka_port}").replace(f'"{TOPIC}"', f'"{self.stack.topic}"')

    def _lake(self, folder: re.Match[str] | None) -> Stack:
        name = folder[1] if folder else ""
        if name not in self.lakes:
            parent = self.stack.folder / Path(name).parent.relative_to("/")
            assert Path(name).name == "data"
            self.lakes[name] = Stack(
                parent, self.stack.kafka_port, self.stack.zookeeper_port, self.stack.topic, jvm=self.stack.jvm
            )
        return self.lakes[name]

    def cron(self, count: int | None = None) -> list[str]:
        """Run the commands of the crontab, as cron does; return what each prints."""
        assert CRON
        lines = [line.split(maxsplit=5)[5] for line in CRON[1].splitlines()][:count]
        return [self._run(line.replace("cd /srv/financelake && ", "").replace(".venv/bin/", "")) for line in lines]

    def close(self) -> None:
        """Kill what still runs."""
        for lake in self.lakes.values():
            for run in lake.runs:
                run.kill_everything()


def ticks(count: int) -> list[bytes | None]:
    """Return records a second apart, of which one in fifty breaks the contract."""
    return [
        json.dumps(
            {"symbol": "AAPL", "price": "?" if number % 50 == 0 else 100 + number / 100, "ts_event": OPEN_NS + number * 10**9}
        ).encode()
        for number in range(count)
    ]


def sending(stack: Stack) -> AbstractContextManager[None]:
    """Publish records until the end of the block."""

    def send() -> None:
        stack.send(ticks(100))

    return beside(send, 0.2)


def note(stack: Stack, name: str = "lake") -> dict[str, Any]:
    """Return what the note of a backup says."""
    content: dict[str, Any] = json.loads((stack.folder / "mnt" / "backup" / name / "backup.json").read_text())
    return content


def test_an_operator_backs_up_a_running_lake_and_restores_it_elsewhere_after_a_kill(stack: Stack) -> None:
    stack.make_topic().send(ticks(500))
    settings: dict[str, str | float] = {"KAFKA_BOOTSTRAP": stack.bootstrap, "TICK_SOURCE": "none", "BARS_SECONDS": 5}
    with closing(Operator(stack, **settings)) as operator:
        operator.type([*START, *ALERTS])
        wait_for_derived(stack.paths, 180, stack.runs[-1].text)
        with sending(stack):
            operator.type(BACKUP)
            operator.type(GENERATION)
            first = note(stack)
            assert note(stack, "monday") == first
            assert "kept from the backup before" in operator.type(BACKUP)
        second = note(stack)
        assert first["versions"].keys() == {"finance_delta", "finance_quarantine", "finance_bars_1m", "finance_coverage_1m"}
        assert sum(first["position"].values()) <= sum(second["position"].values())
        stack.wait_until_stored()
        assert operator.cron() == ["", "", ""]

        stack.runs[-1].kill_everything()
        stack.send(ticks(300))
        position = note(stack)["position"]
        operator.type(ELSEWHERE)

        new = operator.lakes["/srv/new/data"]
        new.assert_complete()
        assert sum(position.values()) < sum(new.end_offsets().values())
        operator.type([EXPORT])
        assert "every tick is in the table once" in operator.type([f"DATA_DIR=/srv/new/data {IMPORT}"])
        operator.type(WITHOUT_TOOLS)
        wait_until(lambda: len(stack.end_offsets()) == 6, 60, "six partitions")
        wait_until(lambda: _spread(stack), 120, "records in all partitions")
        new.wait_until_stored()
        new.assert_complete()
        new.assert_proven()
        wait_for_derived(new.paths, 180, new.runs[-1].text)
        assert financelake(new, "reconcile").returncode == 0
        wait_until(lambda: "spark-job is down; --require" in operator.cron(1)[0], 180, "a mail about the lake that was killed")
        assert new.runs[-1].stop() == 0


def _spread(stack: Stack) -> bool:
    """Publish some records; return whether each partition has some."""
    stack.send(ticks(100))
    return all(stack.end_offsets().values())


def test_partitions_are_added_with_kafkas_tool_in_the_same_way() -> None:
    (line,) = WITH_TOOLS
    program, *arguments = shlex.split(line)
    assert program == "kafka-topics.sh"
    parser = argparse.ArgumentParser()
    parser.add_argument("--alter", action="store_true", required=True)
    parser.add_argument("--bootstrap-server", choices=[f"127.0.0.1:{PORT}"], required=True)
    parser.add_argument("--topic", choices=[TOPIC], required=True)
    parser.add_argument("--partitions", type=int, choices=[6], required=True)
    parser.parse_args(arguments)
    assert f'NewPartitions("{TOPIC}", 6)' in WITHOUT_TOOLS[0]


def test_the_producers_client_uses_new_partitions_when_it_asks_the_broker_again(stack: Stack) -> None:
    stack.make_topic()
    before, config = len(stack.end_offsets()), client_config(stack.bootstrap, 30)
    assert REFRESH not in config, "librdkafka's own value is the five minutes of the page"
    producer = Producer(config | {REFRESH: 500})

    def uses_new_partitions() -> bool:
        for number in range(100):
            producer.produce(stack.topic, b"{}", str(number))
        assert producer.flush(30) == 0
        return sum(end > 0 for end in stack.end_offsets().values()) == before + 2

    wait_until(lambda: not uses_new_partitions(), 30, "the client knows the topic")
    admin = AdminClient({"bootstrap.servers": stack.bootstrap})
    admin.create_partitions([NewPartitions(stack.topic, before + 2)])[stack.topic].result()
    wait_until(uses_new_partitions, 30, "records in the new partitions")


def test_the_service_stops_only_the_supervisor_and_does_not_restart_what_refuses() -> None:
    assert UNIT
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(UNIT[1])
    service = unit["Service"]
    assert service["ExecStart"].removeprefix(f"{service['WorkingDirectory']}/") == ".venv/bin/python -m finance_local"
    assert "exec $(BIN)/python -m finance_local" in (ROOT / "Makefile").read_text()
    assert (service["KillMode"], service["RestartPreventExitStatus"]) == ("mixed", "2 78")


@pytest.mark.faults
def test_an_operator_upgrades_a_lake_restores_it_in_place_and_moves_it(own_stack: Stack) -> None:
    unpack(own_stack.paths.root)
    with closing(Operator(own_stack, **RETENTION)) as operator:
        operator.type(UPGRADE)
        assert note(own_stack, "before-upgrade")["ticks"] > 0
        own_stack.send(ticks(200))
        own_stack.wait_until_stored()
        operator.type([*BACKUP, *DISK])
        own_stack.send(ticks(200))
        own_stack.wait_until_stored()
        end = own_stack.end_offsets()

        own_stack.runs[-1].kill_everything()
        shutil.rmtree(own_stack.paths.ticks / "_delta_log")
        operator.type(IN_PLACE)
        own_stack.assert_complete()
        assert own_stack.end_offsets() == end
        assert own_stack.runs[-1].stop() == 0

        operator.type(MOVE)
        operator.type(["DATA_DIR=/srv/new/data make local", "DATA_DIR=/srv/new/data financelake verify"])
        new = operator.lakes["/srv/new/data"]
        assert (new.folder / ".env").exists()
        new.assert_complete()
        assert new.runs[-1].stop() == 0
