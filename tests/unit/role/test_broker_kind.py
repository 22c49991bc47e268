"""The kind of Kafka that a lake has: `make up` and `make local` (Python) and the broker's scripts (bash) answer alike."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from finance_role.broker_kind import Kind, of_lake, refusal, switch

SCRIPT = Path(__file__).parents[3] / "kafka/broker/refuse-other-kind"
ZOOKEEPER, KRAFT = "version=0\nbroker.id=0\n", "version=1\nnode.id=0\n"
# Files and folders of a lake, what it runs, and words of the refusals with ZooKeeper and with KRaft; None where it may start.
LAKES: dict[str, tuple[dict[str, str | None], Kind | None, str | None, str | None]] = {
    "no broker's data": ({"locks": None, "finance_delta": None}, None, None, None),
    "ZooKeeper alone, before the broker's first start": ({"zookeeper": None}, None, None, None),
    "ZooKeeper": ({"zookeeper": None, "kafka/meta.properties": ZOOKEEPER}, Kind.ZOOKEEPER, None, "make migrate-to-kraft"),
    "KRaft": ({"kraft": None, "kafka/meta.properties": KRAFT}, Kind.KRAFT, "start it with KRAFT=1", None),
    "KRaft, killed before it was formatted": ({"kraft": None}, Kind.KRAFT, "start it with KRAFT=1", None),
    "KRaft without its metadata": ({"kafka/meta.properties": KRAFT}, Kind.KRAFT, "start it with KRAFT=1", None),
    "migrated": ({"kraft": None, "kafka/meta.properties": ZOOKEEPER}, Kind.KRAFT, "start it with KRAFT=1", None),
    "migration interrupted": (
        {"zookeeper": None, "kafka/meta.properties": KRAFT, "migration": None},
        Kind.ZOOKEEPER,
        "was interrupted",
        "was interrupted",
    ),
    "migration interrupted at its end": (
        {"kraft": None, "kafka/meta.properties": ZOOKEEPER, "migration": None},
        Kind.ZOOKEEPER,
        "was interrupted",
        "was interrupted",
    ),
}


def make(root: Path, contents: dict[str, str | None]) -> None:
    for name, text in contents.items():
        if text is None:
            (root / name).mkdir(parents=True)
        else:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(f"#\n#Thu Nov 26 20:00:00 UTC 2026\n{text}cluster.id=jsYnYnzZS2O3X3MrKeUFaQ\n")


def refused_by_script(root: Path, kind: str, **environment: str) -> str | None:
    variables = {"PATH": os.environ["PATH"], "DATA_DIR": str(root), **environment}
    result = subprocess.run([SCRIPT, kind], env=variables, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (78 if result.stderr else 0, "")
    return result.stderr.removesuffix("\n") or None


@pytest.mark.parametrize("name", LAKES)
def test_a_lake_starts_only_with_the_kind_of_kafka_that_it_has(tmp_path: Path, name: str) -> None:
    contents, kind, with_zookeeper, with_kraft = LAKES[name]
    make(tmp_path, contents)
    assert of_lake(tmp_path) == kind
    for kraft, expected in ((False, with_zookeeper), (True, with_kraft)):
        reason = refusal(tmp_path, kraft=kraft)
        assert (reason is None) == (expected is None), reason
        assert (expected or "") in (reason or "")
        assert refused_by_script(tmp_path, "kraft" if kraft else "zookeeper") == reason


def test_a_folder_that_does_not_exist_yet_may_become_either(tmp_path: Path) -> None:
    assert of_lake(tmp_path / "data") is refused_by_script(tmp_path / "data", "kraft") is None


def test_the_migration_itself_runs_both_kinds(tmp_path: Path) -> None:
    make(tmp_path, LAKES["migration interrupted"][0])
    for kind in ("zookeeper", "kraft"):
        assert refused_by_script(tmp_path, kind, MIGRATING="1") is None


def test_a_link_in_the_place_of_the_brokers_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text(KRAFT)
    (tmp_path / "data" / "kafka").mkdir(parents=True)
    (tmp_path / "data" / "kafka" / "meta.properties").symlink_to(tmp_path / "outside")
    assert of_lake(tmp_path / "data") is None


@pytest.mark.parametrize(("value", "kraft"), [("", False), ("0", False), ("1", True), (True, True), (False, False)])
def test_the_switch_is_0_or_1(value: object, kraft: bool) -> None:  # noqa: FBT001
    assert switch(value) is kraft


@pytest.mark.parametrize("value", ["yes", "2", "true", " 1", None])
def test_another_value_of_the_switch_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="it must be 0"):
        switch(value)
