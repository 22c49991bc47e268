"""Prepare `make up`: settings that Compose can read, and a data folder owned by the containers' user.

Standard library only, because it runs with the system Python: `PYTHONPATH=local:role python3 -m finance_local.containers`.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from finance_local import env_file
from finance_role import beneath, broker_kind, own_store, spark_secret
from finance_role.broker_kind import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ENV_FILE = Path(".env")
EXAMPLE = Path(".env.example")
# If root runs `make up`, the containers still do not run as root.
ORDINARY_USER = 1000

# What Compose reads besides docker-compose.yml: for each kind of Kafka, for brokers at KAFKA_BOOTSTRAP, without a producer.
OVERLAYS = {Kind.ZOOKEEPER: [], Kind.KRAFT: ["compose.kraft.yml"], Kind.CLUSTER: ["compose.cluster.yml"]}
OF_OTHER_BROKERS = "compose.broker.yml"
WITHOUT_PRODUCER = "compose.no-producer.yml"
OWN_STORE = "compose.s3.yml"
CLUSTER_ON_A_STORE = "compose.cluster-s3.yml"
LOOPBACK = re.compile(r"(?:^|,)(?:localhost|127\.[0-9.]+):")
IDENTITY_PROPERTY = "financelake.identity"


class LinkError(Exception):
    """A link is in the place of a file or folder; the message names it."""


def lake_user(uid: int, gid: int) -> tuple[int, int]:
    """Return the user id and group id of the containers: the caller's, or 1000 in place of 0."""
    return (uid or ORDINARY_USER, gid or ORDINARY_USER)


def with_user(text: str, uid: int, gid: int) -> str:
    """Return the text of `.env` with LAKE_UID and LAKE_GID set, so that plain `docker compose` commands use them too."""
    others = [line for line in text.removesuffix("\n").split("\n") if line.split("=")[0] not in env_file.USER_KEYS]
    return "\n".join([*others, f"LAKE_UID={uid}", f"LAKE_GID={gid}"]) + "\n"


def overlays(kind: Kind, bootstrap: str, tick_source: str, *, s3: bool = False, lake_uri: str = "") -> list[str]:
    """Return the files that Compose reads besides docker-compose.yml. Raises ValueError."""
    if LOOPBACK.search(bootstrap):
        raise ValueError(
            f"KAFKA_BOOTSTRAP={bootstrap}: in a container, this address is the container itself. Use host.docker.internal for "
            "this machine, and let the broker listen and advertise itself there (docs/OWN-BROKER.md)"
        )
    brokers = [OF_OTHER_BROKERS] if bootstrap else OVERLAYS[kind]
    workers = [CLUSTER_ON_A_STORE] if kind is Kind.CLUSTER and (s3 or lake_uri) else []
    return [*brokers, *([OWN_STORE] if s3 else []), *workers, *([WITHOUT_PRODUCER] if tick_source == "none" else [])]


def with_files(text: str, overlays: Sequence[str]) -> str:
    """Return the text of `.env` with Compose's files, so that every later `docker compose` command uses the same ones.

    Without overlays there is no such key: Compose uses docker-compose.yml alone.
    """
    others = [line for line in text.removesuffix("\n").split("\n") if line.split("=")[0] != env_file.FILES_KEY]
    files = [f"{env_file.FILES_KEY}={':'.join(['docker-compose.yml', *overlays])}"] if overlays else []
    return "\n".join([*others, *files]) + "\n"


def write_own(file: Path, text: str) -> None:
    """Write a file without following a link in its place. Raises LinkError."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise LinkError(f"{file} is a symbolic link: replace it with the file itself.") from None
        raise
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)


def set_owner(folder: Path, uid: int, gid: int) -> None:
    """Create the folder, and make the user the owner of it and everything below it. Raises PermissionError if not permitted.

    The caller may be root while other users write here, so a path could be replaced between a check and its use. So folders are
    walked and owners changed by descriptor, and no link is ever followed. Raises LinkError if the folder itself is a link.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if folder.is_symlink():
        raise LinkError(f"{folder} is a symbolic link: set DATA_DIR to the folder that it points to.")
    for path, folders, files, here in os.fwalk(folder, follow_symlinks=False):
        if path == str(folder):
            _set_owner_by_descriptor(here, folder, uid, gid)
        for name in (*files, *folders):
            with suppress(FileNotFoundError):  # a running lake removes files meanwhile
                _set_owner_of_entry(name, here, Path(path), uid, gid)


def _set_owner_of_entry(name: str, here: int, path: Path, uid: int, gid: int) -> None:
    status = os.stat(name, dir_fd=here, follow_symlinks=False)
    if (status.st_uid, status.st_gid) == (uid, gid):
        return
    if stat.S_ISLNK(status.st_mode):
        os.chown(name, uid, gid, dir_fd=here, follow_symlinks=False)
    elif stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
        with _opened(name, here, path) as descriptor:
            _set_owner_by_descriptor(descriptor, path / name, uid, gid)


@contextmanager
def _opened(name: str, here: int, path: Path) -> Iterator[int]:
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=here)
    except PermissionError as error:
        raise PermissionError(error.errno, error.strerror, str(path / name)) from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _set_owner_by_descriptor(descriptor: int, path: Path, uid: int, gid: int) -> None:
    """Set the owner of an open file or folder, which cannot be replaced by another one any more."""
    status = os.fstat(descriptor)
    if (status.st_uid, status.st_gid) == (uid, gid):
        return
    if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
        raise LinkError(f"{path} has another hard link, whose owner would change too: check it and delete it.")
    try:
        os.fchown(descriptor, uid, gid)
    except PermissionError as error:
        raise PermissionError(error.errno, error.strerror, str(path)) from None


def topic_of(folder: Path) -> str | None:
    """Return the topic that the lake holds, from the identity in its ticks log; None if no entry has one (the job checks).

    It does not use finance_storage.lake_identity, whose dependencies are not installed yet at this point.
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
    """Write `.env` and prepare the data folder."""
    known = env_file.known_keys(EXAMPLE.read_text())
    text = (ENV_FILE if ENV_FILE.exists() else EXAMPLE).read_text()
    try:
        values = env_file.parse(text, known)
        bootstrap = _setting("KAFKA_BOOTSTRAP", values)
        kind = broker_kind.chosen(kraft=_switch("KRAFT", values), cluster=_switch("CLUSTER", values), bootstrap=bootstrap)
        version = _release_line(values, kraft=kind is Kind.KRAFT)
        s3 = _switch("S3", values)
        own_store.require_alone([key for key in own_store.FOLLOWING if s3 and _setting(key, values)])
        lake_uri = _setting("LAKE_URI", values)
        files = overlays(kind, bootstrap, _setting("TICK_SOURCE", values), s3=s3, lake_uri=lake_uri)
    except env_file.EnvFileError as error:
        sys.stderr.write(f"{ENV_FILE} is not valid:\n{error}\n")
        return 2
    except ValueError as error:
        sys.stderr.write(f"{error}.\n")
        return 2
    uid, gid = lake_user(os.getuid(), os.getgid())
    folder, topic = (Path(_setting("DATA_DIR", values) or "data"), _setting("KAFKA_TOPIC", values) or "finance")
    refused_kind = None if OF_OTHER_BROKERS in files else broker_kind.refusal(folder, kind, version)
    refused_store = own_store.refusal(folder, chosen=s3, lake_uri=lake_uri)
    if refusal := _other_topic(folder, topic) or refused_kind or refused_store:
        sys.stderr.write(f"{refusal}\n")
        return 78
    try:
        write_own(ENV_FILE, with_files(with_user(text, uid, gid), files))
        set_owner(folder, uid, gid)
        if kind is Kind.CLUSTER:
            set_owner(spark_secret.make_secret(folder).parent, uid, gid)
        if s3:
            set_owner(own_store.make_credentials(folder).parent, uid, gid)
    except (LinkError, beneath.IrregularError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except PermissionError as error:
        sys.stderr.write(f"{error.filename} belongs to another user: `sudo chown -R {uid}:{gid} {folder}` fixes it.\n")
        return 1
    return 0


def _other_topic(folder: Path, topic: str) -> str | None:
    if (lake_topic := topic_of(folder)) in {None, topic}:
        return None
    return f"The lake at {folder} holds the topic {lake_topic}, not {topic}: set KAFKA_TOPIC={lake_topic}, or another DATA_DIR."


def _release_line(values: dict[str, str], *, kraft: bool) -> str:
    value = _setting("KAFKA_VERSION", values)
    try:
        return broker_kind.release_line(value, kraft=kraft)
    except ValueError as error:
        raise ValueError(f"KAFKA_VERSION={value!r}: {error}") from None


def _switch(key: str, values: dict[str, str]) -> bool:
    value = _setting(key, values)
    try:
        return broker_kind.switch(value)
    except ValueError as error:
        raise ValueError(f"{key}={value!r}: {error}") from None


def _setting(key: str, values: dict[str, str]) -> str:
    return os.environ.get(key) or values.get(key, "")


if __name__ == "__main__":
    sys.exit(main())
