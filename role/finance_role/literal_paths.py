"""Paths are literals: what each library must be told, so that it takes every character of a name as itself.

The kernel takes any bytes but `/` and zero. Libraries read more into them:

- DuckDB takes `*`, `?` and `[` as patterns, and `key=value` anywhere on the way to a file as a column of it. It is told of an
  alias: a symbolic link with a plain name (`for_duckdb`).
- deltalake is a library of URLs: it resolves links, then takes `%20` for a space and a backslash for `/`, and refuses control
  characters and what is not UTF-8. Nothing that it can be told helps: such a folder holds no lake (`fault`).
- pyarrow's `from_uri` takes a path for a URI. It is given its LocalFileSystem instead, which takes paths.
- Kafka splits `log.dirs` at commas and ZooKeeper unescapes its configuration: they run in the lake's folder and are told
  relative paths (kafka/broker/run-broker, run-zookeeper). Spark and Hadoop take a path as it is.
- A `file:` URL in an option of Java is `Path.as_uri()`.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import tempfile
import threading
from pathlib import Path

# What no library is known to read anything into. Everything else has an alias, also what is only unusual.
PLAIN = re.compile(r"[A-Za-z0-9_./+@,: -]*")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ALIAS_PREFIX = "financelake-path-"

_lock = threading.Lock()
_aliases: dict[str, str] = {}


class PathError(OSError):
    """A path that cannot be given to a library as it is; the message is a sentence."""


def fault(folder: Path) -> str | None:
    """Say what in the name of a lake's folder a library cannot take as it is, and what to do; None if there is nothing."""
    for name in (os.path.abspath(folder), os.path.realpath(folder)):  # noqa: PTH100 (a part `..` is one of the name)
        if what := _unusable(name):
            return f"{name!a} has {what}: choose another folder, or rename it"
    return None


def unspeakable(name: str) -> str | None:
    """Say what in a name no line of a log and no line of `.env` can hold; None if there is nothing."""
    if control := _CONTROL.search(name):
        return f"the control character {control[0]!a} in it"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "bytes in it that are not UTF-8"
    return None


def _unusable(name: str) -> str | None:
    if what := unspeakable(name):
        return f"{what}, which deltalake refuses"
    if escape := _ESCAPE.search(name):
        return f"{escape[0]!r} in it, which deltalake takes for another character"
    return "a backslash in it, which deltalake takes for '/'" if "\\" in name else None


def for_duckdb(path: Path) -> Path:
    """Give an absolute path to the same file or folder, of which DuckDB takes every character as itself.

    It is an alias where the name is not plain, the same one for as long as this process lives, and ends with the process; a
    child sees it. Raises PathError where no alias can be made.
    """
    name = str(path.absolute())
    if PLAIN.fullmatch(name):
        return Path(name)
    with _lock:
        if name not in _aliases or not os.path.lexists(_aliases[name]):  # whatever tidies folders of temporary files
            _aliases[name] = _alias(name)
        return Path(_aliases[name])


def by_name(text: str) -> str:
    """Put the true paths into what a library says of aliases."""
    with _lock:
        for name, alias in _aliases.items():
            text = text.replace(alias, name)
    return text


def _alias(name: str) -> str:
    for base in (tempfile.gettempdir(), "/tmp", "/var/tmp"):  # noqa: S108 (a private folder is made in it)
        if not PLAIN.fullmatch(base):
            continue
        try:
            folder = tempfile.mkdtemp(prefix=_ALIAS_PREFIX, dir=base)
        except OSError:
            continue
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        alias = f"{folder}/alias"
        os.symlink(name, alias)  # noqa: PTH211 (the name may hold anything)
        return alias
    raise PathError(f"{name!a} needs an alias for DuckDB, and no folder for temporary files takes one: set TMPDIR")
