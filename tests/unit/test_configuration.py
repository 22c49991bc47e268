"""Keys and defaults agree in .env.example, docker-compose.yml, settings classes, scripts and docs."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from ruamel.yaml import YAML

from finance_job.config import Settings as JobSettings
from finance_lake.config import DashboardSettings
from finance_lake.config import Settings as LakeSettings
from finance_local import env_file
from finance_local.config import Settings as LocalSettings
from finance_producer.config import Settings as ProducerSettings
from finance_role.environment import SETTINGS
from finance_topic.config import Settings as TopicSettings

if TYPE_CHECKING:
    from finance_role.settings import RoleSettings

ROOT = Path(__file__).parents[2]
EXAMPLE = env_file.parse((ROOT / ".env.example").read_text())
COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE = YAML(typ="safe").load(COMPOSE_TEXT)
TABLE = ROOT / "docs" / "SETTINGS.md"

ROLE_SETTINGS: dict[str, type[RoleSettings]] = {
    "topic-init": TopicSettings,
    "producer": ProducerSettings,
    "spark-job": JobSettings,
    "local": LocalSettings,
    "financelake": LakeSettings,
    "dashboard": DashboardSettings,
}
IN_CONTAINERS = [name for name in ROLE_SETTINGS if name not in {"local", "financelake", "dashboard"}]

# Fields of settings classes that are not keys of .env.
NOT_IN_ENV_FILE = {
    "BROKER_WAIT_SECONDS": "a timeout of topic-init, not a user setting",
    "SPARK_BIND": "the loopback interface, or all of a container's own network",
    "SPARK_JARS": "where the build puts them",
    "SPARK_ARCHIVE": "where the build puts it",
    "KAFKA_JARS": "where the build puts them",
    "S3_SERVER": "where the build puts it",
    "ROLES": "set for a single run of `make local`",
    "RUN_SECONDS": "set for a single run of `make local`",
}
# Keys that scripts read, with a default of their own.
READ_BY_SCRIPTS = {
    "KAFKA_HEAP": "kafka/broker/run-broker",
    "ZOOKEEPER_HEAP": "kafka/broker/run-zookeeper",
}
# Variables that are in no settings class and still reach a role: the options of repairs.
OF_REPAIRS = {"YES", "ADOPT", "SKIP", "ALTERED", "EXCUSE", "REASON", "SOURCE", "UNDO"}
READ_BY_COMPOSE_ALONE = {"EXTRA_CA_BUNDLE": "a secret of image builds"}
# Keys of .env that compose does not interpolate.
NOT_IN_COMPOSE = {
    "ZOOKEEPER_PORT": "ZooKeeper is not published; inside the network it keeps 2181",
    "KRAFT": "`make up` turns it into COMPOSE_FILE",
    "KAFKA_VERSION": "compose.kraft.yml has it",
    "KAFKA_CONTROLLER_PORT": "the controller listens on its container's own loopback interface, on 9093",
    "CLUSTER": "`make up` turns it into COMPOSE_FILE",
    "KAFKA_BOOTSTRAP": "`make up` turns it into COMPOSE_FILE; compose.broker.yml has it",
    "KAFKA_PORT_2": "compose.cluster.yml has it",
    "KAFKA_PORT_3": "compose.cluster.yml has it",
    "SPARK_SECRET_FILE": "compose.cluster.yml sets it",
    "S3": "`make up` turns it into COMPOSE_FILE",
    "S3_PORT": "compose.s3.yml has it",
    "SPARK_MASTER_PORT": "the master is not published; inside the network it has 7077",
}
# Variables that compose interpolates and that are not in .env.example.
COMPOSE_ONLY = {
    ("LAKE_UID", ":-1000"): "written by `make up`, never by a person",
    ("LAKE_GID", ":-1000"): "written by `make up`, never by a person",
    ("BASE_IMAGE", ":-debian:bookworm-slim"): "a mirror's name for the base image, in CI",
}
# Empty defaults that need a value for a mount, or stay empty unless there is a mount.
NOT_THE_DEFAULT_OF_THE_EXAMPLE = {
    ("EXTRA_CA_BUNDLE", ":-/dev/null"): "a secret needs a file",
    ("REPLAY_FILE", ":-/dev/null"): "a mount needs a source",
    ("REPLAY_FILE", ":+/replay"): "the file is called that inside the container",
    ("LAKE_URI", ":+1"): "of the image: whether it has the jars to read an object store",
    ("S3_CREDENTIALS_FILE", ":-/dev/null"): "a mount needs a source",
    ("S3_CREDENTIALS_FILE", ":+/keys"): "the file is called that inside the container",
}
# Values of a container's environment that do not come from .env, or that have another value inside the container.
FIXED_IN_CONTAINERS = {
    "KAFKA_BOOTSTRAP": ("kafka:19092", "the broker's name in the network"),
    "SPARK_UI_PORT": ("4040", "the port inside; the key sets the published one"),
    "SPARK_BIND": ("0.0.0.0", "inside its own network"),  # noqa: S104
    "REPLAY_FILE": ("${REPLAY_FILE:+/replay}", "the mount"),
    "S3_CREDENTIALS_FILE": ("${S3_CREDENTIALS_FILE:+/keys}", "the mount"),
}
# Fields that compose does not pass to containers.
LEFT_TO_THE_IMAGE = {
    "DATA_DIR": "the mount /data, set in the image",
    "SPARK_JARS": "set in the image",
    "SPARK_ARCHIVE": "not in the image: 180 MB",
    "BROKER_WAIT_SECONDS": "its default",
    "SPARK_SECRET_FILE": "compose.cluster.yml sets it",
    "S3": "compose.s3.yml sets what follows from it",
    "S3_PORT": "the port on this machine; inside the network it is 7070",
}
# Rows that the table may have besides the keys of .env: keys of a single run.
TABLE_MAY_ADD = {"ROLES", "RUN_SECONDS", "YES", "ENV_FILE"}

INTERPOLATION = re.compile(r"(?<!\$)\$(?:\{(\w+)([^}]*)\}|(\w+))")
TABLE_ROW = re.compile(r"^\|\s*`([A-Z][A-Z0-9_]*)`\s*\|\s*(?:`([^`|]*)`)?\s*\|[^|]*\|\s*$", re.MULTILINE)


@pytest.fixture(autouse=True)
def _nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {key for settings in ROLE_SETTINGS.values() for key in keys_of(settings)}
    for key in os.environ:
        if key.upper() in fields | EXAMPLE.keys():
            monkeypatch.delenv(key)


def keys_of(settings: type[RoleSettings]) -> set[str]:
    return {name.upper() for name in settings.model_fields}


def interpolations(text: str = COMPOSE_TEXT) -> set[tuple[str, str]]:
    lines = (line.partition(" # ")[0] for line in text.splitlines() if not line.lstrip().startswith("#"))
    matches = INTERPOLATION.findall("\n".join(lines))
    return {(braced or plain, modifier) for braced, modifier, plain in matches}


@pytest.mark.parametrize("role", ROLE_SETTINGS)
def test_the_example_has_the_defaults_of_each_settings_class(role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = ROLE_SETTINGS[role]()
    for key, value in EXAMPLE.items():
        monkeypatch.setenv(key, value)
    assert ROLE_SETTINGS[role]().model_dump() == defaults.model_dump()


@pytest.mark.parametrize("role", ROLE_SETTINGS)
def test_each_field_of_a_settings_class_is_a_key_of_the_example(role: str) -> None:
    assert keys_of(ROLE_SETTINGS[role]) - EXAMPLE.keys() - NOT_IN_ENV_FILE.keys() == set()


def test_each_key_of_the_example_is_read() -> None:
    fields = {key for settings in ROLE_SETTINGS.values() for key in keys_of(settings)}
    assert EXAMPLE.keys() - fields == READ_BY_COMPOSE_ALONE.keys()


def test_exactly_the_settings_reach_the_processes() -> None:
    fields = {key for settings in ROLE_SETTINGS.values() for key in keys_of(settings)}
    assert fields | OF_REPAIRS == SETTINGS


def test_scripts_fall_back_to_the_same_umask() -> None:
    for script in ("kafka/broker/run-broker", "kafka/broker/run-zookeeper", "s3/run-s3"):
        assert f"${{DATA_UMASK:-{EXAMPLE['DATA_UMASK']}}}" in (ROOT / script).read_text()


@pytest.mark.parametrize(("key", "script"), READ_BY_SCRIPTS.items())
def test_scripts_fall_back_to_the_defaults_of_the_example(key: str, script: str) -> None:
    fallbacks = re.findall(rf"\$\{{{key}:-([^}}]*)\}}", (ROOT / script).read_text())
    assert fallbacks == [EXAMPLE[key]]


def test_compose_interpolates_every_key_of_the_example() -> None:
    assert EXAMPLE.keys() - {key for key, _ in interpolations()} == NOT_IN_COMPOSE.keys()


def test_compose_interpolates_with_the_defaults_of_the_example() -> None:
    expected = {(key, f":-{value}") for key, value in EXAMPLE.items()}
    assert interpolations() - expected == COMPOSE_ONLY.keys() | NOT_THE_DEFAULT_OF_THE_EXAMPLE.keys()


def test_the_overlay_of_the_cluster_interpolates_with_the_same_defaults() -> None:
    overlay = interpolations((ROOT / "compose.cluster.yml").read_text())
    known = COMPOSE_ONLY.keys() | NOT_THE_DEFAULT_OF_THE_EXAMPLE.keys()
    assert overlay - known <= {(key, f":-{value}") for key, value in EXAMPLE.items()}
    assert {"KAFKA_PORT_2", "KAFKA_PORT_3"} <= {key for key, _ in overlay}


def test_the_overlay_of_the_object_store_interpolates_with_the_same_defaults() -> None:
    overlay = interpolations((ROOT / "compose.s3.yml").read_text())
    assert overlay - COMPOSE_ONLY.keys() <= {(key, f":-{value}") for key, value in EXAMPLE.items()}
    assert "S3_PORT" in {key for key, _ in overlay}


@pytest.mark.parametrize("role", IN_CONTAINERS)
def test_a_container_gets_every_key_that_its_role_reads_and_no_other(role: str) -> None:
    passed = COMPOSE["services"][role]["environment"].keys()
    assert passed == keys_of(ROLE_SETTINGS[role]) - LEFT_TO_THE_IMAGE.keys()


@pytest.mark.parametrize("role", IN_CONTAINERS)
def test_a_container_gets_each_key_under_its_own_name(role: str) -> None:
    for key, value in COMPOSE["services"][role]["environment"].items():
        fixed = FIXED_IN_CONTAINERS.get(key)
        assert value == (fixed[0] if fixed else f"${{{key}:-{EXAMPLE[key]}}}")


@pytest.mark.parametrize("folder", ["kafka", "lake", "producer", "s3", "spark-job"])
def test_the_images_keep_their_state_where_compose_mounts_it(folder: str) -> None:
    assert re.search(r"\bDATA_DIR=/data\b", (ROOT / folder / "Dockerfile").read_text())


def test_the_table_of_settings_lists_every_key_with_its_default() -> None:
    rows = TABLE_ROW.findall(TABLE.read_text())
    keys = [key for key, _ in rows]
    table = dict(rows)
    assert not [key for key in keys if keys.count(key) > 1], "the table lists a key twice"
    assert EXAMPLE.keys() - table.keys() == set(), "the table lacks keys of .env.example"
    assert table.keys() - EXAMPLE.keys() - TABLE_MAY_ADD == set(), "docs/SETTINGS.md has keys that .env.example has not"
    wrong = {
        key: f"docs/SETTINGS.md says {table[key]!r}, .env.example {value!r}"
        for key, value in EXAMPLE.items()
        if table[key] != value
    }
    assert not wrong
