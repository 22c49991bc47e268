"""The environment of every process of the lake: composed by us from a short list, never handed on as the caller has it.

A variable of the caller can change what a process writes: `JAVA_TOOL_OPTIONS` with another language had Kafka name its files in
other digits, and the next start took the topic for empty. So a process gets what stands here, and nothing else. Standard
library only: probes and scripts import it.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType

from finance_role import beneath

JAVA = 17

# One locale, one encoding and one time zone, whatever the caller's are.
FIXED = {
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONUTF8": "1",
    "PYTHONUNBUFFERED": "1",
    "PYTHONNOUSERSITE": "1",
}
OF_THE_MACHINE = ("PATH", "HOME", "PYTHONDONTWRITEBYTECODE")
# The project's own settings: keys of .env, keys of one run, and what an image says about itself.
SETTINGS = frozenset(
    {
        *("TICK_SOURCE", "SYMBOLS", "TICKS_PER_SECOND", "SEED", "MAX_TICKS", "MALFORMED_RATE", "REPLAY_FILE", "REPLAY_SPEED"),
        *("REPLAY_MAP", "REPLAY_IGNORE_COLUMNS"),
        *("FLUSH_SECONDS", "DELIVERY_TIMEOUT_SECONDS"),
        *("KAFKA_TOPIC", "KAFKA_PARTITIONS", "KAFKA_RETENTION_HOURS", "KAFKA_PORT", "ZOOKEEPER_PORT", "KAFKA_BOOTSTRAP"),
        *("KAFKA_HEAP", "ZOOKEEPER_HEAP", "KAFKA_JARS", "BROKER_WAIT_SECONDS"),
        *("TRIGGER_SECONDS", "MAX_OFFSETS_PER_TRIGGER", "READER", "KAFKA_OPTIONS"),
        *("SPARK_HEAP", "SPARK_CORES", "SPARK_UI_PORT", "SPARK_BIND", "SPARK_JARS", "SPARK_ARCHIVE"),
        *("DASHBOARD_PORT", "DATA_DIR", "DATA_UMASK"),
        *("ROLES", "RUN_SECONDS", "YES", "SKIP", "ALTERED", "EXCUSE", "REASON"),
    }
)
# Switches of tests, which Spark's workers inherit.
OF_TESTS = ("FAILPOINT", "FAILPOINT_GROUP")
# What a program with a window needs besides.
OF_A_DESKTOP = ("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "BROWSER", "TERM")
# Variables that would change what Java, Spark or Python do. The lake's processes never get them; doctor names them.
DANGEROUS = re.compile(
    r"_?JAVA_(TOOL_)?OPTIONS|JDK_JAVA_OPTIONS|CLASSPATH|KAFKA_(\w+_)?OPTS|(PY)?SPARK_\w+|HADOOP_\w+|YARN_\w+|HIVE_\w+"
    r"|PYTHON(PATH|HOME|STARTUP|WARNINGS|IOENCODING|OPTIMIZE|HASHSEED)|LD_(PRELOAD|LIBRARY_PATH)"
)


class UnusableScratchError(Exception):
    """Temporary files cannot be where they are to be; the message says why, and how to mend it."""


def composed(own: Mapping[str, str] | None = None, *, also: Iterable[str] = (), settings: bool = True) -> dict[str, str]:
    """Compose a process's environment: ours, of the caller's only what is listed or named in `also`; `own` comes last.

    Without `settings` the caller's keys of .env are left out too.
    """
    wanted = {*OF_THE_MACHINE, *OF_TESTS, *also} | (SETTINGS if settings else set())
    taken = {key: value for key, value in os.environ.items() if key in wanted}
    java = {"JAVA_HOME": str(home)} if (home := java_home()) else {}
    return {**taken, **FIXED, **java, **(own or {})}


def settle(umask: str, own: Mapping[str, str] | None = None) -> None:
    """Give this very process such an environment, for all that it starts, and the mode of the files that it will make."""
    environment = composed(own)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.umask(int(umask, 8))


def importing(*packages: ModuleType) -> dict[str, str]:
    """Give the variable by which another Python finds these packages: in an image nothing else tells it."""
    folders = (str(Path(one.__path__[0]).parents[one.__name__.count(".")]) for one in packages)
    return {"PYTHONPATH": os.pathsep.join(dict.fromkeys(folders))}


def foreign() -> list[str]:
    """Name the caller's variables that the lake's processes do not get though they would matter to them."""
    return sorted(key for key in os.environ if DANGEROUS.fullmatch(key) and key not in SETTINGS)


def java_home() -> Path | None:
    """Give JAVA_HOME if there is a Java there that is new enough; else the one on the PATH has to do."""
    told = os.environ.get("JAVA_HOME", "")
    if not told or not os.access(Path(told) / "bin" / "java", os.X_OK):
        return None
    return Path(told) if _release(Path(told)) >= JAVA else None


def stale_java_home() -> str | None:
    """Give a JAVA_HOME that is set and of no use."""
    told = os.environ.get("JAVA_HOME", "")
    return told if told and java_home() is None else None


def _release(home: Path) -> int:
    """Read which Java is in a folder; one that does not say is taken as it is."""
    try:
        said = re.search(r'^JAVA_VERSION="(\d+)', (home / "release").read_text(errors="replace"), re.MULTILINE)
    except OSError:
        said = None
    return int(said[1]) if said else JAVA


def scratch(data_dir: Path, role: str) -> Path:
    """Where the temporary files of a role are: not in a /tmp that others made, and may have mounted without execution."""
    return data_dir.resolve() / "run" / "tmp" / role


def make_scratch(data_dir: Path, role: str) -> Path:
    """Make the folder, or empty it of what a killed run has left; the caller holds the role.

    Raises UnusableScratchError, and beneath.IrregularError for a link on the way to it.
    """
    root, folder = data_dir.resolve(), scratch(data_dir, role)
    beneath.remove(root, folder)
    beneath.make_folder(root, folder, 0o700)
    require_execution(folder)
    return folder


def require_execution(folder: Path) -> None:
    """Raise UnusableScratchError where native libraries, which Java unpacks into its temporary folder, could not be loaded."""
    if not allows_execution(folder):
        raise UnusableScratchError(
            f"{folder} is on a volume mounted noexec: Java could not load its native libraries (zstd, snappy) from there. "
            "Mount it with exec, or set DATA_DIR to a folder on another volume."
        )


def allows_execution(folder: Path) -> bool:
    """Whether programs and libraries in a folder that is there may be executed."""
    return not os.statvfs(folder).f_flag & os.ST_NOEXEC
