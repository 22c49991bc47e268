"""Prepare `make up`: settings that Compose can read, and a data folder that belongs to the containers' user.

Standard library only; runs with the machine's own Python: `PYTHONPATH=local:role python3 -m finance_local.containers`.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from finance_local import env_file
from finance_role import beneath

if TYPE_CHECKING:
    from collections.abc import Iterator

ENV_FILE = Path(".env")
EXAMPLE = Path(".env.example")
# Where root calls, the containers still do not run as root.
ORDINARY_USER = 1000

IDENTITY_PROPERTY = "financelake.identity"


class LinkError(Exception):
    """Something is a link where none may be; the message says where."""


def lake_user(uid: int, gid: int) -> tuple[int, int]:
    """Return the user of the containers: the caller, or an ordinary one where the caller is root."""
    return (uid or ORDINARY_USER, gid or ORDINARY_USER)


def with_user(text: str, uid: int, gid: int) -> str:
    """Return the text of `.env` with LAKE_UID and LAKE_GID in it, so that plain `docker compose` commands know them too."""
    others = [line for line in text.removesuffix("\n").split("\n") if line.split("=")[0] not in env_file.USER_KEYS]
    return "\n".join([*others, f"LAKE_UID={uid}", f"LAKE_GID={gid}"]) + "\n"


def write_own(file: Path, text: str) -> None:
    """Write a file of ours; where somebody has put a link in its place, do not follow it. Raises LinkError."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise LinkError(f"{file} is a symbolic link: put the file itself there.") from None
        raise
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(text)


def give(folder: Path, uid: int, gid: int) -> None:
    """Make the folder and see that it and all below it belong to the user. Raises PermissionError if they do not and cannot.

    Root may be calling, and others may write here meanwhile: what a path leads to can be exchanged between two looks at it. So
    each folder is walked and each file changed by a descriptor, and no link is ever followed. Raises LinkError for a link at
    the top.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if folder.is_symlink():
        raise LinkError(f"{folder} is a symbolic link: set DATA_DIR to the folder that it leads to.")
    for path, folders, files, here in os.fwalk(folder, follow_symlinks=False):
        if path == str(folder):
            _give_opened(here, folder, uid, gid)
        for name in (*files, *folders):
            with suppress(FileNotFoundError):  # a lake that runs removes files meanwhile
                _give_entry(name, here, Path(path), uid, gid)


def _give_entry(name: str, here: int, path: Path, uid: int, gid: int) -> None:
    kind = os.stat(name, dir_fd=here, follow_symlinks=False)
    if (kind.st_uid, kind.st_gid) == (uid, gid):
        return
    if stat.S_ISLNK(kind.st_mode):
        os.chown(name, uid, gid, dir_fd=here, follow_symlinks=False)
    elif stat.S_ISREG(kind.st_mode) or stat.S_ISDIR(kind.st_mode):
        with _opened(name, here, path) as opened:
            _give_opened(opened, path / name, uid, gid)


@contextmanager
def _opened(name: str, here: int, path: Path) -> Iterator[int]:
    try:
        opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=here)
    except PermissionError as error:
        raise PermissionError(error.errno, error.strerror, str(path / name)) from None
    try:
        yield opened
    finally:
        os.close(opened)


def _give_opened(opened: int, path: Path, uid: int, gid: int) -> None:
    """Give what a descriptor stands for, which nobody can exchange for something else any more."""
    found = os.fstat(opened)
    if (found.st_uid, found.st_gid) == (uid, gid):
        return
    if stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
        raise LinkError(f"{path} has a second name somewhere else, whose owner would change too: look at it, and delete it.")
    try:
        os.fchown(opened, uid, gid)
    except PermissionError as error:
        raise PermissionError(error.errno, error.strerror, str(path)) from None


def topic_of(folder: Path) -> str | None:
    """Name the topic that the lake holds, by the identity in its table's log; None where no entry has it (the job judges).

    What reads identities elsewhere (finance_storage.lake_identity) is not installed yet here.
    """
    for entry in sorted((folder / "finance_delta" / "_delta_log").glob("*.json")):
        try:
            lines = beneath.read(folder, entry).decode(errors="replace").splitlines()
        except OSError:
            continue
        for line in lines:
            if line.startswith('{"metaData"') and (topic := _topic_in(line)):
                return topic
    return None


def _topic_in(metadata: str) -> str | None:
    try:
        return str(json.loads(json.loads(metadata)["metaData"]["configuration"][IDENTITY_PROPERTY])["topic"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


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
    folder, topic = (Path(_told("DATA_DIR", values) or "data"), _told("KAFKA_TOPIC", values) or "finance")
    if (held := topic_of(folder)) not in {None, topic}:
        sys.stderr.write(
            f"The lake at {folder} holds the topic {held}, not {topic}: set KAFKA_TOPIC={held}, or another DATA_DIR.\n"
        )
        return 78
    try:
        write_own(ENV_FILE, with_user(text, uid, gid))
        give(folder, uid, gid)
    except LinkError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except PermissionError as error:
        sys.stderr.write(f"{error.filename} belongs to somebody else: `sudo chown -R {uid}:{gid} {folder}` mends it.\n")
        return 1
    return 0


def _told(key: str, values: dict[str, str]) -> str:
    return os.environ.get(key) or values.get(key, "")


if __name__ == "__main__":
    sys.exit(main())
