"""The contract depends only on msgspec, because both services include it."""

import ast
import sys
from pathlib import Path

import finance_contract


def imported(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}


def test_the_package_imports_only_the_standard_library_and_msgspec() -> None:
    modules = Path(finance_contract.__file__).parent.glob("*.py")
    packages = {name.partition(".")[0] for path in modules for name in imported(path)}
    assert packages <= sys.stdlib_module_names | {"msgspec", "finance_contract"}
