"""Packages depend on each other only as the documentation describes."""

from __future__ import annotations

import ast
import re
import sys
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Collection

ROOT = Path(__file__).parents[2]
FOLDERS = {
    "finance_contract": "kafka/finance_contract",
    "finance_kafka": "kafka/finance_kafka",
    "finance_topic": "kafka/finance_topic",
    "finance_storage": "lake/finance_storage",
    "finance_verify": "lake/finance_verify",
    "finance_lake": "lake/finance_lake",
    "finance_producer": "producer/finance_producer",
    "finance_job": "spark-job/finance_job",
    "finance_local": "local/finance_local",
    "finance_role": "role/finance_role",
}
# The packages of the project, or modules of them, that each package may import besides itself. There are no cycles.
ALLOWED = {
    "finance_contract": set[str](),
    "finance_role": set[str](),
    "finance_kafka": {"finance_contract"},
    "finance_topic": {"finance_contract", "finance_kafka", "finance_role"},
    "finance_storage": {"finance_kafka.offsets", "finance_kafka.describe", "finance_role"},
    "finance_producer": {"finance_contract", "finance_role", "finance_storage.ledger", "finance_storage.ledger_copy"},
    "finance_verify": {"finance_contract", "finance_kafka", "finance_role", "finance_storage"},
    "finance_job": {"finance_contract", "finance_kafka", "finance_role", "finance_storage", "finance_verify"},
    "finance_lake": {"finance_contract", "finance_kafka", "finance_role", "finance_storage", "finance_verify"},
    # The supervisor starts the services as processes, and imports only their settings classes. `import` publishes by itself.
    "finance_local": {
        *("finance_kafka", "finance_lake", "finance_producer", "finance_role", "finance_storage", "finance_verify"),
        *("finance_job.config", "finance_topic.check", "finance_topic.config"),
    },
}
# Third-party packages that each may import: few, so that each can be installed where others cannot.
THIRD_PARTY = {
    "finance_contract": {"msgspec"},
    "finance_kafka": {"confluent_kafka", "msgspec", "numpy"},
    "finance_storage": {"deltalake", "msgspec", "numpy", "pyarrow", "typing_extensions"},
    "finance_verify": {"deltalake", "msgspec", "numpy", "pyarrow"},
}
# Modules that read the environment, with the reason; all others get a settings object.
READS_THE_ENVIRONMENT = {
    "spark-job/finance_job/failpoint.py": "a switch of tests, which Spark's workers inherit",
    "role/finance_role/environment.py": "composes the environment of every process",
    "local/finance_local/with_env.py": "loads .env into the environment",
    "local/finance_local/command.py": "likewise, with DATA_DIR relative to the working directory",
    "local/finance_local/containers.py": "standard library only: runs before anything is installed",
    "local/finance_local/reset.py": "standard library only: runs before anything is installed",
}
BEFORE_THE_VIRTUALENV = (
    "local/finance_local/containers.py",
    "local/finance_local/reset.py",
    "local/finance_local/env_file.py",
    "jars/fetch.py",
    "role/finance_role/__init__.py",
    "role/finance_role/beneath.py",
    "role/finance_role/broker_kind.py",
    "role/finance_role/own_store.py",
    "role/finance_role/secret_file.py",
    "role/finance_role/spark_secret.py",
)
THEIR_OWN = {
    *("finance_local", "finance_local.env_file"),
    *("finance_role", "finance_role.beneath", "finance_role.broker_kind", "finance_role.broker_kind.Kind"),
    *("finance_role.spark_secret", "finance_role.own_store"),
    *("finance_role.secret_file", "finance_role.secret_file.keep_secret", "finance_role.secret_file.secret_file"),
}
ENVIRONMENT = {"environ", "environb", "getenv", "getenvb", "putenv"}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / FOLDERS[package]).rglob("*.py"))


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            # `from package import name` may name a module: both count.
            names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def is_below(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def ours(names: set[str]) -> set[str]:
    return {name for name in names if name.startswith("finance_")}


def reads_environment(path: Path) -> bool:
    tree = ast.parse(path.read_text())
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "os"
        for alias in node.names
    }
    return bool(ENVIRONMENT & (attributes | imported))


def test_no_top_level_folder_is_a_package() -> None:
    assert not list(ROOT.glob("*/__init__.py"))


def test_every_package_of_the_project_is_checked_here() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/finance_*/__init__.py")}
    assert packages == FOLDERS.keys()


@pytest.mark.parametrize("package", ALLOWED)
def test_a_package_imports_only_what_the_layout_allows(package: str) -> None:
    allowed = {package, *ALLOWED[package]}
    for path in modules(package):
        # `from finance_lake import state` names the parent too; only what is imported from it counts.
        imported = {
            name for name in ours(imports(path)) if not any(other.startswith(f"{name}.") for other in imports(path) & allowed)
        }
        wrong = {name for name in imported if not any(is_below(name, other) for other in allowed)}
        assert not wrong, f"{path.relative_to(ROOT)} imports {sorted(wrong)}"


@pytest.mark.parametrize("package", THIRD_PARTY)
def test_pure_packages_need_little_beyond_the_standard_library(package: str) -> None:
    allowed = THIRD_PARTY[package] | sys.stdlib_module_names | {package, *(name.partition(".")[0] for name in ALLOWED[package])}
    for path in modules(package):
        wrong = {name.partition(".")[0] for name in imports(path)} - allowed
        assert not wrong, f"{path.relative_to(ROOT)} imports {sorted(wrong)}"


def imported_modules(path: Path, known: Collection[str]) -> set[str]:
    """Return the project's modules that a module names in its imports, in functions and for type checking too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {name if (name := f"{node.module}.{alias.name}") in known else node.module for alias in node.names}
    return names & set(known)


def test_there_is_no_import_cycle() -> None:
    paths = {name_of(path): path for package in FOLDERS for path in modules(package)}
    graph = {name: imported_modules(path, paths) for name, path in paths.items()}
    tuple(TopologicalSorter(graph).static_order())  # raises CycleError, which names the cycle


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts[1:]
    return ".".join(part for part in parts if part != "__init__")


@pytest.mark.parametrize(
    ("image", "packages"),
    [
        ("producer", {"finance_producer", "finance_topic"}),
        ("spark-job", {"finance_job", "finance_lake"}),  # finance_lake for `verify` in the container
        ("lake", {"finance_lake"}),
    ],
)
def test_an_image_has_the_packages_that_its_own_import(image: str, packages: set[str]) -> None:
    copied = set(re.findall(r"^COPY \w+[\w-]*/(finance_\w+)", (ROOT / image / "Dockerfile").read_text(), re.MULTILINE))
    paths = {name_of(path): path for package in FOLDERS for path in modules(package)}
    needed = {name for name in paths if name.partition(".")[0] in packages}
    while further := {name for each in needed for name in imports(paths[each]) & paths.keys()} - needed:
        needed |= further
    assert {name.partition(".")[0] for name in needed} <= copied


def test_the_jobs_image_has_neither_dashboard_nor_notebook() -> None:
    sources = re.findall(r"^COPY (lake/finance_lake\S*)", (ROOT / "spark-job/Dockerfile").read_text(), re.MULTILINE)
    copied = {str(path.relative_to(ROOT)) for source in sources for path in ROOT.glob(source)}
    copied -= set((ROOT / ".dockerignore").read_text().splitlines())
    assert "lake/finance_lake/cli" in copied
    assert not copied & {f"lake/finance_lake{part}" for part in ("", "/dashboard", "/notebook.py")}


def test_the_ledger_imports_only_what_the_producers_image_has() -> None:
    allowed = {
        "finance_role",
        "finance_role.beneath",
        "finance_storage",
        "finance_storage.place",
        "finance_storage.place.Place",
    }
    assert ours(imports(ROOT / "lake/finance_storage/ledger.py")) <= allowed


def test_modules_that_run_before_the_virtualenv_need_only_the_standard_library() -> None:
    for name in ("local/finance_local/__init__.py", *BEFORE_THE_VIRTUALENV):
        wrong = {module for module in imports(ROOT / name) if module.partition(".")[0] not in sys.stdlib_module_names}
        assert wrong <= THEIR_OWN, f"{name} imports {sorted(wrong)}"


def test_the_environment_is_read_in_few_places() -> None:
    readers = {str(path.relative_to(ROOT)) for name in FOLDERS for path in modules(name) if reads_environment(path)}
    assert readers == READS_THE_ENVIRONMENT.keys()
