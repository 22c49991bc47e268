"""The manifests for Kubernetes agree with images and settings. `make check` validates them against the API's schemas."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ruamel.yaml import YAML

from finance_job.config import Settings as JobSettings
from finance_job.standalone import ROLE, StandaloneSettings
from finance_topic.config import Settings as TopicSettings

if TYPE_CHECKING:
    from finance_role.settings import RoleSettings

MANIFESTS = Path(__file__).parents[2] / "kubernetes" / "financelake.yaml"
RESOURCES: list[dict[str, Any]] = list(YAML(typ="safe").load_all(MANIFESTS.read_text()))
CONFIG = next(resource["data"] for resource in RESOURCES if resource["kind"] == "ConfigMap")
PODS: dict[str, dict[str, Any]] = {
    resource["metadata"]["name"]: resource["spec"]["template"]["spec"]
    for resource in RESOURCES
    if "template" in resource.get("spec", {})
}
SETTINGS: dict[str, type[RoleSettings]] = {
    "topic-init": TopicSettings,
    "spark-master": StandaloneSettings,
    "spark-worker": StandaloneSettings,
    "spark-job": JobSettings,
}
every_pod = pytest.mark.parametrize("name", PODS)


def container(name: str) -> dict[str, Any]:
    (only,) = PODS[name]["containers"]
    return dict(only)


def test_there_is_one_driver_and_the_old_one_ends_before_the_new_one_begins() -> None:
    (driver,) = (resource["spec"] for resource in RESOURCES if resource["metadata"]["name"] == "spark-job")
    assert (driver["replicas"], driver["strategy"]) == (1, {"type": "Recreate"})


@every_pod
def test_a_pod_has_no_more_rights_than_it_needs(name: str) -> None:
    assert PODS[name]["securityContext"]["runAsNonRoot"]
    assert container(name)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "memory" in container(name)["resources"]["limits"]
    assert PODS[name]["enableServiceLinks"] is False


@every_pod
def test_every_variable_is_a_setting_of_its_role_or_of_another(name: str) -> None:
    fields = {field.upper() for settings in SETTINGS.values() for field in settings.model_fields}
    assert CONFIG.keys() <= fields
    assert {variable["name"] for variable in container(name).get("env", ())} <= {
        field.upper() for field in SETTINGS[name].model_fields
    }


@every_pod
def test_every_mount_is_a_volume_of_the_pod_and_the_secret_is_not_in_this_file(name: str) -> None:
    volumes = {volume["name"]: volume for volume in PODS[name].get("volumes", ())}
    assert {mount["name"] for mount in container(name).get("volumeMounts", ())} == volumes.keys()
    if name != "topic-init":
        assert volumes["secret"]["secret"]["secretName"] == "financelake-spark"
        assert volumes["secret"]["secret"]["defaultMode"] == 0o440
        (mount,) = (mount for mount in container(name)["volumeMounts"] if mount["name"] == "secret")
        assert f"{mount['mountPath']}/spark" == CONFIG["SPARK_SECRET_FILE"]
    assert not [resource for resource in RESOURCES if resource["kind"] == "Secret"]


def test_master_and_workers_are_started_by_the_projects_module_and_found_by_the_drivers_address() -> None:
    for name in ("spark-master", "spark-worker"):
        *module, role = container(name)["command"]
        assert module == ["python", "-m", "finance_job.standalone"]
        assert ROLE.fullmatch(role)
    services = {resource["metadata"]["name"]: resource["spec"] for resource in RESOURCES if resource["kind"] == "Service"}
    assert CONFIG["SPARK_MASTER"] == "spark://spark-master:7077"
    assert [port["port"] for port in services["spark-master"]["ports"]] == [7077]
    assert services["spark-master"]["clusterIP"] == "None"


def test_driver_and_workers_mount_the_same_tables() -> None:
    for name in ("spark-job", "spark-worker"):
        claims = [volume.get("persistentVolumeClaim") for volume in PODS[name]["volumes"]]
        assert {"claimName": "financelake-data"} in claims
        assert {"name": "data", "mountPath": "/data"} in container(name)["volumeMounts"]
    (claim,) = (resource["spec"] for resource in RESOURCES if resource["kind"] == "PersistentVolumeClaim")
    assert claim["accessModes"] == ["ReadWriteMany"]
