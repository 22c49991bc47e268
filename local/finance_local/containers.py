"""Prepare `make up`: settings that Compose can read, and a data folder that belongs to the containers' user.

Standard library only; runs with the machine's own Python: `PYTHONPATH=local python3 -m finance_local.containers`.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from finance_local import env_file

ENV_FILE = Path(".env")
EXAMPLE = Path(".env.example")
# Where root calls, the containers still do not run as root.
ORDINARY_USER = 1000


def lake_user(uid: int, gid: int) -> tuple[int, int]:
    """Return the user of the containers: the caller, or an ordinary one where the caller is root."""
    return (uid or ORDINARY_USER, gid or ORDINARY_USER)


def with_user(text: str, uid: int, gid: int) -> str:
    """Return the text of `.env` with LAKE_UID and LAKE_GID in it, so that plain `docker compose` commands know them too."""
    others = [line for line in text.removesuffix("\n").split("\n") if line.split("=")[0] not in env_file.USER_KEYS]
    return "\n".join([*others, f"LAKE_UID={uid}", f"LAKE_GID={gid}"]) + "\n"


def give(folder: Path, uid: int, gid: int) -> None:
    """Make the folder and see that it and all below it belong to the user. Raises PermissionError if they do not and cannot."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in (folder, *folder.rglob("*")):
        with suppress(FileNotFoundError):  # a lake that runs removes files meanwhile
            owner = path.lstat()
            if (owner.st_uid, owner.st_gid) != (uid, gid):
                os.chown(path, uid, gid, follow_symlinks=False)


def main() -> int:
    """Write `.env`, prepare the data folder."""
    known = env_file.known_keys(EXAMPLE.read_text())
    text = (ENV_FILE if ENV_FILE.exists() else EXAMPLE).read_text()
    try:
        values = env_file.parse(text, known)
    except env_file.EnvFileError as error:
        sys.stderr.write(f"{ENV_FILE} is not as it must be:\n{error}\n")
        return 2
    uid, gid = lake_user(os.getuid(), os.getgid())
    ENV_FILE.write_text(with_user(text, uid, gid))
    folder = Path(os.environ.get("DATA_DIR") or values.get("DATA_DIR") or "data")
    try:
        give(folder, uid, gid)
    except PermissionError as error:
        sys.stderr.write(f"{error.filename} belongs to somebody else: `sudo chown -R {uid}:{gid} {folder}` mends it.\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
