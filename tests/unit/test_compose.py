"""Check docker-compose.yml itself, without a container engine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from finance_local.config import ALL_ROLES, BROKERS, CLUSTER_ROLES, OBJECT_STORE, WORKERS, ZOOKEEPERS
from finance_role import own_store

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
KRAFT: dict[str, Any] = YAML(typ="safe").load((ROOT / "compose.kraft.yml").read_text())
CLUSTER: dict[str, Any] = YAML(typ="safe").load((ROOT / "compose.cluster.yml").read_text())["services"]
BROKER: dict[str, Any] = YAML(typ="safe").load((ROOT / "compose.broker.yml").read_text())["services"]
STORE: dict[str, Any] = YAML(typ="safe").load((ROOT / "compose.s3.yml").read_text())["services"]
OF_THE_CLUSTER = {name: service for name, service in CLUSTER.items() if name not in SERVICES}
# Services that a profile adds; they only read.
ADDED = {"dashboard"}
LONG_RUNNING = sorted(SERVICES.keys() - {"topic-init"})
WITH_STATE = sorted(SERVICES.keys() - {"topic-init"} - ADDED)
CLIENTS = ["producer", "spark-job"]
RESTART = {
    "zookeeper": "unless-stopped",
    "kafka": "unless-stopped",
    "topic-init": "no",
    "producer": "on-failure",
    "spark-job": "on-failure:3",
    "dashboard": "unless-stopped",
}
# The job's image with or without the jars to read an object store.
VARIANT = "job-${S3A:-0}"
# Services with published ports.
PUBLISHING = {"kafka", "spark-job", "dashboard"}

every_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)


def seconds(duration: str) -> int:
    match = re.fullmatch(r"(\d+)s", duration)
    assert match, duration
    return int(match[1])


def test_compose_up_without_profiles_starts_the_five_services() -> None:
    assert set(SERVICES) == {"zookeeper", "kafka", "topic-init", "producer", "spark-job"} | ADDED
    assert {name for name, service in SERVICES.items() if "profiles" in service} == ADDED


def test_the_dashboard_is_a_profile_with_a_read_only_mount() -> None:
    dashboard = SERVICES["dashboard"]
    assert dashboard["profiles"] == ["dashboard"]
    mount, keys = dashboard["volumes"]
    assert keys["read_only"] is True
    assert mount == {"type": "bind", "source": "${DATA_DIR:-data}", "target": "/data", "read_only": True}
    assert "depends_on" not in dashboard


def test_containers_and_local_processes_are_the_same_roles() -> None:
    assert set(SERVICES) - ADDED == set(ALL_ROLES)


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_every_long_running_service_has_a_healthcheck(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] == "CMD"
    assert len(check["test"]) > 1
    assert not check.get("disable")
    assert {"interval", "timeout", "retries"} <= check.keys()


def test_health_of_producer_and_job_is_their_own_heartbeat() -> None:
    for name in CLIENTS:
        assert SERVICES[name]["healthcheck"]["test"][-1] == f"/data/run/{name}.heartbeat"


@pytest.mark.parametrize("name", CLIENTS)
def test_producer_and_job_wait_until_topic_init_has_succeeded(name: str) -> None:
    assert SERVICES[name]["depends_on"] == {
        "kafka": {"condition": "service_healthy"},
        "topic-init": {"condition": "service_completed_successfully"},
    }


def test_each_service_waits_for_a_healthy_one_before_it() -> None:
    healthy = {"condition": "service_healthy"}
    assert "depends_on" not in SERVICES["zookeeper"]
    assert SERVICES["kafka"]["depends_on"] == {"zookeeper": healthy}
    assert SERVICES["topic-init"]["depends_on"] == {"kafka": healthy}


@every_service
def test_every_service_runs_as_the_lakes_user_and_never_as_root(service: dict[str, Any]) -> None:
    assert service["user"] == "${LAKE_UID:-1000}:${LAKE_GID:-1000}"


@every_service
def test_every_service_has_a_read_only_root_and_no_privileges(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "devices", "pid", "ipc", "network_mode"} & service.keys()


@every_service
def test_every_service_has_limits(service: dict[str, Any]) -> None:
    assert re.fullmatch(r"[1-9]\d*[mg]", service["mem_limit"])
    assert service["pids_limit"] > 0


@every_service
def test_every_service_rotates_its_log(service: dict[str, Any]) -> None:
    assert service["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}


@every_service
def test_every_service_is_in_the_one_network(service: dict[str, Any]) -> None:
    assert service["networks"] == ["lake"]
    assert list(COMPOSE["networks"]) == ["lake"]


@every_service
def test_every_service_reaps_its_children_and_passes_signals_on(service: dict[str, Any]) -> None:
    assert service["init"] is True


def test_every_published_port_is_on_the_loopback_interface() -> None:
    published = {name: [str(port) for port in service["ports"]] for name, service in SERVICES.items() if "ports" in service}
    assert published.keys() == PUBLISHING
    for ports in published.values():
        assert all(re.fullmatch(r"127\.0\.0\.1:\$\{\w+:-\d+\}:\d+", port) for port in ports), ports


def test_the_broker_advertises_the_loopback_interface_to_the_host() -> None:
    listeners = dict(listener.split("://") for listener in SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED"].split(","))
    assert listeners == {"INTERNAL": "kafka:19092", "HOST": "127.0.0.1:${KAFKA_PORT:-9092}"}


def test_restart_policies() -> None:
    assert {name: service["restart"] for name, service in SERVICES.items()} == RESTART


@pytest.mark.parametrize("name", WITH_STATE)
def test_state_is_in_the_data_folder(name: str) -> None:
    assert {"type": "bind", "source": "${DATA_DIR:-data}", "target": "/data"} in SERVICES[name]["volumes"]
    assert "volumes" not in COMPOSE


def test_no_other_mount_is_writable() -> None:
    mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", ())]
    assert all(mount["read_only"] for mount in mounts if mount["target"] != "/data")


@pytest.mark.parametrize(("name", "own"), [("kafka", 60), ("producer", 10), ("spark-job", 60), ("zookeeper", 10)])
def test_each_role_has_enough_time_to_stop(name: str, own: int) -> None:
    assert seconds(SERVICES[name]["stop_grace_period"]) >= own


@every_service
def test_an_image_is_built_here_or_has_an_exact_tag(service: dict[str, Any]) -> None:
    image, _, tag = service["image"].partition(":")
    if image.startswith("financelake/"):
        assert "build" in service or service["pull_policy"] == "never"
    else:
        assert tag not in {"", "latest"}


def test_one_service_builds_each_image() -> None:
    built = [service["image"] for service in SERVICES.values() if "build" in service]
    assert sorted(built) == sorted({service["image"] for service in SERVICES.values()})


@pytest.mark.parametrize("folder", ["kafka", "lake", "producer", "s3", "spark-job"])
def test_images_use_the_same_base_image_by_tag(folder: str) -> None:
    dockerfile = (ROOT / folder / "Dockerfile").read_text()
    assert re.findall(r"^ARG BASE_IMAGE=(.+)$", dockerfile, re.MULTILINE) == ["debian:bookworm-slim"]
    stages = set(re.findall(r"^FROM \S+ AS (\S+)$", dockerfile, re.MULTILINE))
    assert set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)) - stages - {VARIANT} == {"${BASE_IMAGE}"}
    for service in (*SERVICES.values(), STORE[OBJECT_STORE]):
        if service.get("build", {}).get("dockerfile") == f"{folder}/Dockerfile":
            assert service["build"]["args"]["BASE_IMAGE"] == "${BASE_IMAGE:-debian:bookworm-slim}"


def test_only_the_image_for_a_lake_in_a_bucket_gets_the_jars_to_read_one() -> None:
    dockerfile = (ROOT / "spark-job" / "Dockerfile").read_text()
    default, variant = dockerfile.partition("FROM job-0 AS job-1")[::2]
    assert "\nARG S3A=0\n" in default
    assert "s3a-jars" not in default.partition(" AS job-0")[2]
    assert variant == f"\nCOPY --from=s3a-jars /opt/spark/s3a /opt/spark/s3a\n\nFROM {VARIANT}\n"
    assert SERVICES["spark-job"]["build"]["args"]["S3A"] == "${LAKE_URI:+1}"


def test_no_environment_has_a_secret() -> None:
    keys = [key for service in SERVICES.values() for key in service.get("environment", ())]
    assert not [key for key in keys if re.search("PASSWORD|SECRET|TOKEN|CREDENTIAL", key) and not key.endswith("_FILE")]
    assert set(COMPOSE["secrets"]) == {"ca"}


def test_kraft_leaves_zookeeper_out_and_adds_only_the_controllers_address() -> None:
    assert set(KRAFT) == {"services"}
    assert KRAFT["services"].keys() == {"zookeeper", "kafka"}
    assert KRAFT["services"]["zookeeper"] == {"profiles": ["zookeeper"]}
    assert KRAFT["services"]["kafka"]["environment"] == {"KAFKA_CONTROLLER": "127.0.0.1:9093"}
    assert KRAFT["services"]["kafka"]["depends_on"] == {"zookeeper": {"condition": "service_healthy", "required": False}}


def test_kraft_builds_the_image_of_the_broker_as_zookeeper_does_otherwise() -> None:
    kafka = KRAFT["services"]["kafka"]
    assert kafka["image"] == "financelake/kafka:${KAFKA_VERSION:-3.9}"
    assert kafka.keys() == {"image", "build", "pull_policy", "environment", "depends_on"}
    common = SERVICES["zookeeper"]["build"]
    assert kafka["build"] == {**common, "args": {**common["args"], "KAFKA_VERSION": "${KAFKA_VERSION:-3.9}"}}


def test_the_cluster_in_containers_has_the_roles_of_local_processes() -> None:
    assert SERVICES.keys() - ADDED | CLUSTER.keys() == set(CLUSTER_ROLES)


@pytest.mark.parametrize("name", OF_THE_CLUSTER)
def test_a_further_service_of_the_cluster_obeys_the_rules_of_all_services(name: str) -> None:
    service, like = OF_THE_CLUSTER[name], SERVICES["zookeeper"]
    for key in ("user", "read_only", "cap_drop", "security_opt", "init", "networks", "logging"):
        assert service[key] == like[key], key
    assert service["volumes"] == (SERVICES["spark-job"] if name.startswith("spark-worker") else like)["volumes"]
    assert service["restart"] == "unless-stopped"
    assert service["pull_policy"] == "never"
    assert service["image"] in {like["image"], SERVICES["spark-job"]["image"]}
    assert not {"privileged", "cap_add", "devices", "pid", "ipc", "network_mode", "build"} & service.keys()
    assert service["healthcheck"]["test"][0] == "CMD"
    assert re.fullmatch(r"[1-9]\d*[mg]", service["mem_limit"])
    assert service["pids_limit"] > 0
    for port in service.get("ports", ()):
        assert re.fullmatch(r"127\.0\.0\.1:\$\{\w+:-\d+\}:9092", port)
    assert not [key for key in service["environment"] if re.search("PASSWORD|TOKEN|CREDENTIAL", key)]


def test_the_cluster_fits_12_gb() -> None:
    sizes = {"m": 1, "g": 1024}
    limits = [service["mem_limit"] for service in {**SERVICES, **OF_THE_CLUSTER}.values()]
    assert sum(int(limit[:-1]) * sizes[limit[-1]] for limit in limits) < 12 * 1024


@pytest.mark.parametrize(("names", "key"), [(ZOOKEEPERS, "ZOOKEEPER_NODE"), (BROKERS, "KAFKA_NODE")])
def test_each_node_has_its_number_and_is_otherwise_like_the_first(names: tuple[str, ...], key: str) -> None:
    first, *others = ({**SERVICES.get(name, {}).get("environment", {}), **CLUSTER[name]["environment"]} for name in names)
    assert [environment[key] for environment in (first, *others)] == ["1", "2", "3"]
    for environment in others:
        assert {name for name in first if first[name] != environment[name]} == {key} | (first.keys() & {"KAFKA_ADVERTISED"})
        assert first.keys() == environment.keys()


def test_a_broker_of_the_cluster_waits_for_all_zookeepers_and_clients_for_all_brokers() -> None:
    healthy = {"condition": "service_healthy"}
    for name in BROKERS:
        assert CLUSTER[name]["depends_on"] == dict.fromkeys(ZOOKEEPERS, healthy)
    for name in ("topic-init", "producer", "spark-job"):
        assert dict.fromkeys(BROKERS, healthy).items() <= CLUSTER[name]["depends_on"].items()
        assert CLUSTER[name]["environment"]["KAFKA_BOOTSTRAP"] == "kafka:19092,kafka-2:19092,kafka-3:19092"


def test_driver_master_and_workers_share_a_secret_that_is_in_a_file() -> None:
    for name in ("spark-master", "spark-worker-1", "spark-worker-2", "spark-job"):
        environment = CLUSTER[name]["environment"]
        assert environment["SPARK_SECRET_FILE"] == "/data/secrets/spark"
        assert environment["SPARK_MASTER"] == "spark://spark-master:7077"
        assert environment["SPARK_HOST"] == name


def test_with_a_lake_in_a_bucket_the_workers_mount_secrets_only() -> None:
    apart: dict[str, Any] = YAML(typ="safe").load((ROOT / "compose.cluster-s3.yml").read_text())
    assert set(apart["services"]) == set(apart["volumes"]) == set(WORKERS)
    for name, service in apart["services"].items():
        memory, secrets = service["volumes"]
        assert memory == {"type": "volume", "source": name, "target": "/data"}
        assert apart["volumes"][name]["driver_opts"]["type"] == "tmpfs"
        assert secrets["source"] == "${DATA_DIR:-data}/secrets"
        assert secrets["read_only"] is True


def test_the_object_store_obeys_the_rules_of_all_services() -> None:
    service, like = STORE[OBJECT_STORE], SERVICES["zookeeper"]
    for key in ("user", "read_only", "cap_drop", "security_opt", "init", "networks", "logging", "volumes", "restart"):
        assert service[key] == like[key], key
    assert service["build"] == {**like["build"], "dockerfile": "s3/Dockerfile"}
    assert not {"privileged", "cap_add", "devices", "pid", "ipc", "network_mode", "tmpfs"} & service.keys()
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["ports"] == ["127.0.0.1:${S3_PORT:-7070}:7070"]
    assert re.fullmatch(r"[1-9]\d*[mg]", service["mem_limit"])
    assert service["pids_limit"] > 0


def test_what_reads_or_writes_the_lake_waits_for_the_object_store_and_gets_its_keys_as_a_file() -> None:
    here = {"LAKE_URI": own_store.URI, "S3_ENDPOINT": "http://s3:7070", "S3_CREDENTIALS_FILE": "/data/secrets/s3"}
    assert STORE.keys() - {OBJECT_STORE} == {*CLIENTS, *ADDED}
    for name in (*CLIENTS, *ADDED):
        build = {"build": {"args": {"S3A": "1"}}} if name == "spark-job" else {}
        assert STORE[name] == {**build, "environment": here, "depends_on": {OBJECT_STORE: {"condition": "service_healthy"}}}
    server = STORE[OBJECT_STORE]["environment"]
    assert server["S3_BUCKET"] == own_store.BUCKET
    assert server["S3_CREDENTIALS_FILE"] == here["S3_CREDENTIALS_FILE"]
    assert not [key for key in server if re.search("PASSWORD|SECRET|TOKEN|ACCESS", key)]


def test_with_brokers_of_others_the_check_of_the_topic_precedes_producer_and_job() -> None:
    check, like = BROKER["topic-check"], SERVICES["topic-init"]
    for key in ("user", "read_only", "cap_drop", "security_opt", "init", "networks", "logging", "image", "restart"):
        assert check[key] == like[key], key
    assert check["build"] == SERVICES["producer"]["build"]
    for name in CLIENTS:
        assert BROKER[name]["depends_on"]["topic-check"] == {"condition": "service_completed_successfully"}
        assert BROKER[name]["depends_on"].keys() - {"topic-check"} == SERVICES[name]["depends_on"].keys()
    for name in ("topic-check", *CLIENTS):
        assert BROKER[name]["environment"]["KAFKA_BOOTSTRAP"].startswith("${KAFKA_BOOTSTRAP:?")


@pytest.mark.parametrize(
    ("overlay", "expected"),
    [
        ("compose.kraft.yml", SERVICES.keys() - ADDED - {"zookeeper"}),
        ("compose.cluster.yml", set(CLUSTER_ROLES)),
        ("compose.broker.yml", {"topic-check", "producer", "spark-job"}),
        ("compose.no-producer.yml", SERVICES.keys() - ADDED - {"producer"}),
        ("compose.s3.yml", {*ALL_ROLES, OBJECT_STORE}),
    ],
)
@pytest.mark.skipif(shutil.which("docker") is None, reason="there is no Docker on this machine")
def test_compose_itself_joins_both_files(overlay: str, expected: set[str]) -> None:
    command = ["docker", "compose", "--env-file", ".env.example", "--file", "docker-compose.yml", "--file", overlay]
    environment = {**os.environ, "KAFKA_BOOTSTRAP": "kafka.example.org:9092"}
    joined = subprocess.run([*command, "config"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if joined.returncode and "compose" in joined.stderr and "is not a docker command" in joined.stderr:
        pytest.skip("there is no Compose on this machine")
    assert joined.returncode == 0, joined.stderr
    services = YAML(typ="safe").load(joined.stdout)["services"]
    assert services.keys() == expected
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert {port["host_ip"] for port in published} == {"127.0.0.1"}
    assert len({port["published"] for port in published}) == len(published)
