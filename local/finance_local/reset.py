"""Delete all state of the lake: `PYTHONPATH=local:role python3 -m finance_local.reset` (`make reset`).

Topic and tables belong together. Deleting only one of them leaves a lake that cannot be used, so there is no partial reset.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from pathlib import Path

from finance_local import env_file
from finance_role import beneath

ENV_FILE = Path(".env")
KEPT = "README.md"


def is_running(folder: Path) -> bool:
    """Whether a role holds a lock of this lake."""
    return any(_is_held(folder, lock) for lock in (folder / "locks").glob("*.lock"))


def _is_held(folder: Path, lock: Path) -> bool:
    try:
        with beneath.opened(folder, lock) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except beneath.IrregularError:  # not a lock file, so nothing can hold it
        return False
    return False


def is_a_lake(folder: Path) -> bool:
    """Whether the folder contains only files that the lake creates."""
    created = {
        "zookeeper",
        "zookeeper-2",
        "zookeeper-3",
        "kafka",
        "kafka-2",
        "kafka-3",
        "secrets",
        "s3",
        "kraft",
        "migration",
        "migration.new",
        "checkpoints",
        "finance_delta",
        "finance_quarantine",
        "ledger",
        "seals",
        "locks",
        "run",
        "lake.json",
        "redrive.json",
        "aside",
        "backup.json",
        KEPT,
    }
    return all((path.name in created or _is_table(path)) and not path.is_symlink() for path in folder.iterdir())


def _is_table(path: Path) -> bool:
    """Whether it is a Delta table with a name as derived tables have it."""
    return path.name.startswith("finance_") and (path / "_delta_log").is_dir()


def _agrees(question: str) -> bool:
    try:
        return input(question).strip() == "y"
    except EOFError:
        return False


def _refusal(folder: Path, bucket: str) -> str:
    """Return why nothing may be deleted; empty if the folder may be."""
    if bucket:
        return f"The lake is at {bucket}, and this deletes only a folder: delete the prefix with a tool for S3."
    if is_running(folder):
        return f"The lake at {folder} is running: stop it first, `make down` for containers, Ctrl-C for `make local`."
    if not is_a_lake(folder):
        return f"{folder} contains files that are not the lake's: nothing was deleted."
    return ""


def main() -> int:
    """Ask for confirmation, then delete. Refuses while a role runs, or if the folder contains other files."""
    try:
        values = env_file.parse(ENV_FILE.read_text()) if ENV_FILE.exists() else {}
    except env_file.EnvFileError as error:
        sys.stderr.write(f"{ENV_FILE} is not valid:\n{error}\n")
        return 2
    folder = Path(os.environ.get("DATA_DIR") or values.get("DATA_DIR") or "data")
    if not folder.is_dir():
        print(f"There is nothing at {folder}.")
        return 0
    if refusal := _refusal(folder, os.environ.get("LAKE_URI") or values.get("LAKE_URI") or ""):
        sys.stderr.write(f"{refusal}\n")
        return 1
    brokers = os.environ.get("KAFKA_BOOTSTRAP") or values.get("KAFKA_BOOTSTRAP")
    what = f"the tables (the topic at {brokers} stays)" if brokers else "the topic, the tables"
    if os.environ.get("YES") != "1" and not _agrees(f"Delete {what} and everything else below {folder}? [y/N] "):
        print("Nothing was deleted.")
        return 0
    for path in folder.iterdir():
        if path.name != KEPT:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    print(f"{folder} is empty.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
