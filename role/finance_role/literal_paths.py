"""Pass paths to libraries so that they treat every character literally.

The kernel accepts any bytes except `/` and zero in a name. Libraries interpret some of them:

- DuckDB treats `*`, `?` and `[` as patterns, and `key=value` anywhere in a path as a column. It gets an alias: a symbolic link
  with a plain name (`for_duckdb`).
- deltalake works with URLs: it resolves links, then reads `%20` as a space and a backslash as `/`, and refuses control
characters
  and names that are not UTF-8. There is no way around this, so such a folder cannot hold a lake (`fault`).
- pyarrow's `from_uri` treats a path as a URI. Its LocalFileSystem, which accepts paths, is used instead.
- Kafka splits `log.dirs` at commas and ZooKeeper unescapes its configuration. Both run in the lake's folder and get relative
  paths (kafka/broker/run-broker, run-zookeeper). Spark and Hadoop accept paths as they are.
- A `file:` URL in a Java option is `Path.as_uri()`.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import tempfile
import threading
from pathlib import Path

# Characters that no library is known to interpret. A path with any other character gets an alias.
PLAIN = re.compile(r"[A-Za-z0-9_./+@,: -]*")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ALIAS_PREFIX = "financelake-path-"

_lock = threading.Lock()
_aliases: dict[str, str] = {}


class PathError(OSError):
    """A path that cannot be passed to a library; the message is a sentence."""


def fault(folder: Path) -> str | None:
    """Return what in the path of a lake's folder a library cannot handle, and what to do; None if nothing."""
    for name in (os.path.abspath(folder), os.path.realpath(folder)):  # noqa: PTH100 (resolves `..` without following links)
        if what := _unusable(name):
            return f"{name!a} has {what}: choose another folder, or rename it"
    return None


def unprintable(name: str) -> str | None:
    """Return what in a name cannot be written to a log line or to `.env`; None if nothing."""
    if control := _CONTROL.search(name):
        return f"the control character {control[0]!a} in it"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "bytes in it that are not UTF-8"
    return None


def _unusable(name: str) -> str | None:
    if what := unprintable(name):
        return f"{what}, which deltalake refuses"
    if escape := _ESCAPE.search(name):
        return f"{escape[0]!r} in it, which deltalake takes for another character"
    return "a backslash in it, which deltalake takes for '/'" if "\\" in name else None


def for_duckdb(path: Path) -> Path:
    """Return an absolute path to the same file or folder in which DuckDB treats every character literally.

    If the name is not plain, the path is an alias. It stays the same for the lifetime of this process, is removed at its end,
    and is valid in child processes. Raises PathError if no alias can be created.
    """
    name = str(path.absolute())
    if PLAIN.fullmatch(name):
        return Path(name)
    with _lock:
        if name not in _aliases or not os.path.lexists(_aliases[name]):  # something may clean up temporary folders
            _aliases[name] = _alias(name)
        return Path(_aliases[name])


def by_name(text: str) -> str:
    """Replace aliases by the original paths in a message of a library."""
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
        os.symlink(name, alias)  # noqa: PTH211 (the name may contain any character)
        return alias
    raise PathError(f"{name!a} needs an alias for DuckDB, and no temporary folder can hold one: set TMPDIR")
