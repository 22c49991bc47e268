"""The kind of Kafka that a lake has: `make up` and `make local` (Python) and the broker's scripts (bash) answer alike."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from finance_role.broker_kind import VERSIONS, Kind, chosen, of_lake, refusal, release_line, switch, version_of_lake

SCRIPT = Path(__file__).parents[3] / "kafka/broker/refuse-other-kind"
ZOOKEEPER, KRAFT = "version=0\nbroker.id=0\n", "version=1\nnode.id=0\n"
WITH_KRAFT, WITH_CLUSTER, MIGRATE = "start it with KRAFT=1", "start it with CLUSTER=1", "make migrate-to-kraft"
WITHOUT_CLUSTER, INTERRUPTED = "start it without CLUSTER=1", "was interrupted"
ANY: dict[Kind, str] = {}
NOT_KRAFT = {Kind.ZOOKEEPER: WITH_KRAFT, Kind.CLUSTER: WITH_KRAFT}
# Files and folders of a lake, the kind that it has, and words of the refusals of other kinds.
LAKES: dict[str, tuple[dict[str, str | None], Kind | None, dict[Kind, str]]] = {
    "no broker's data": ({"locks": None, "finance_delta": None}, None, ANY),
    "ZooKeeper alone, before the broker's first start": ({"zookeeper": None}, None, ANY),
    "ZooKeeper": (
        {"zookeeper": None, "kafka/meta.properties": ZOOKEEPER},
        Kind.ZOOKEEPER,
        {Kind.KRAFT: MIGRATE, Kind.CLUSTER: WITHOUT_CLUSTER},
    ),
    "KRaft": ({"kraft": None, "kafka/meta.properties": KRAFT}, Kind.KRAFT, NOT_KRAFT),
    "KRaft, killed before it was formatted": ({"kraft": None}, Kind.KRAFT, NOT_KRAFT),
    "KRaft without its metadata": ({"kafka/meta.properties": KRAFT}, Kind.KRAFT, NOT_KRAFT),
    "migrated": ({"kraft": None, "kafka/meta.properties": ZOOKEEPER}, Kind.KRAFT, NOT_KRAFT),
    "three brokers": (
        {"zookeeper": None, "zookeeper-2": None, "kafka/meta.properties": ZOOKEEPER, "kafka-2/meta.properties": ZOOKEEPER},
        Kind.CLUSTER,
        {Kind.ZOOKEEPER: WITH_CLUSTER, Kind.KRAFT: WITH_CLUSTER},
    ),
    "three ZooKeeper nodes, before the brokers' first start": (
        {"zookeeper-2": None},
        Kind.CLUSTER,
        {Kind.ZOOKEEPER: WITH_CLUSTER, Kind.KRAFT: WITH_CLUSTER},
    ),
    "migration interrupted": (
        {"zookeeper": None, "kafka/meta.properties": KRAFT, "migration": None},
        Kind.ZOOKEEPER,
        dict.fromkeys(Kind, INTERRUPTED),
    ),
    "migration interrupted at its end": (
        {"kraft": None, "kafka/meta.properties": ZOOKEEPER, "migration": None},
        Kind.ZOOKEEPER,
        dict.fromkeys(Kind, INTERRUPTED),
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
    contents, kind, refusals = LAKES[name]
    make(tmp_path, contents)
    assert of_lake(tmp_path) == kind
    for wanted in Kind:
        reason = refusal(tmp_path, wanted)
        assert (reason is None) == (wanted not in refusals), reason
        assert refusals.get(wanted, "") in (reason or "")
        assert refused_by_script(tmp_path, wanted) == reason


def test_a_folder_that_does_not_exist_yet_may_become_either(tmp_path: Path) -> None:
    assert of_lake(tmp_path / "data") is None
    assert [refused_by_script(tmp_path / "data", kind) for kind in Kind] == [None] * len(Kind)


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
    with pytest.raises(ValueError, match="it must be 0 or 1"):
        switch(value)


@pytest.mark.parametrize(
    ("kraft", "cluster", "kind"), [(False, False, Kind.ZOOKEEPER), (True, False, Kind.KRAFT), (False, True, Kind.CLUSTER)]
)
def test_each_switch_chooses_a_kind(kraft: bool, cluster: bool, kind: Kind) -> None:  # noqa: FBT001
    assert chosen(kraft=kraft, cluster=cluster) is kind


def test_two_kinds_cannot_be_chosen() -> None:
    with pytest.raises(ValueError, match="set only one of KRAFT and CLUSTER"):
        chosen(kraft=True, cluster=True)


@pytest.mark.parametrize(
    ("ran", "version", "is_refused"),
    [(None, "4", False), (None, "3.9", False), ("3.9\n", "4", False), ("4\n", "4", False), ("4\n", "3.9", True)],
)
def test_a_lake_never_goes_back_to_an_older_kafka(tmp_path: Path, ran: str | None, version: str, is_refused: bool) -> None:  # noqa: FBT001
    make(tmp_path, LAKES["KRaft"][0])
    if ran:
        (tmp_path / "kraft" / "kafka.version").write_text(ran)
    assert version_of_lake(tmp_path) == (ran or "3.9").strip()
    reason = refusal(tmp_path, Kind.KRAFT, version)
    assert ("start it with KAFKA_VERSION=4" in (reason or "")) == is_refused
    assert refused_by_script(tmp_path, Kind.KRAFT, KAFKA_VERSION=version) == reason


def test_another_kind_is_named_before_another_version(tmp_path: Path) -> None:
    make(tmp_path, LAKES["KRaft"][0])
    (tmp_path / "kraft" / "kafka.version").write_text("4\n")
    assert WITH_KRAFT in (refusal(tmp_path, Kind.ZOOKEEPER) or "")
    assert refused_by_script(tmp_path, Kind.ZOOKEEPER) == refusal(tmp_path, Kind.ZOOKEEPER)


@pytest.mark.parametrize(("value", "kraft", "line"), [("", False, "3.9"), ("3.9", True, "3.9"), ("4", True, "4")])
def test_kafka_4_is_chosen_beside_kraft(value: str, kraft: bool, line: str) -> None:  # noqa: FBT001
    assert release_line(value, kraft=kraft) == line


@pytest.mark.parametrize(("value", "kraft", "reason"), [("4", False, "set KRAFT=1 too"), ("4.0", True, "it must be 3.9 or 4")])
def test_another_value_of_the_version_is_refused(value: str, kraft: bool, reason: str) -> None:  # noqa: FBT001
    with pytest.raises(ValueError, match=reason):
        release_line(value, kraft=kraft)


@pytest.mark.parametrize("version", VERSIONS)
def test_each_version_has_a_lock_file_of_its_jars(version: str) -> None:
    assert f":kafka_2.13:{version}." in (SCRIPT.parents[2] / "jars" / f"kafka-{version}.lock").read_text()
