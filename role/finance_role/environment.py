"""The environment of every process of the lake: composed from a short list, never inherited from the caller as it is.

A variable of the caller can change what a process writes. For example, `JAVA_TOOL_OPTIONS` with another language made Kafka
name its files with other digits, and after the next start the topic looked empty. So a process gets only the variables listed
here. Standard library only, because probes and scripts import this module.
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

# One locale, encoding and time zone, whatever the caller's are.
FIXED = {
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONUTF8": "1",
    "PYTHONUNBUFFERED": "1",
    "PYTHONNOUSERSITE": "1",
}
OF_THE_MACHINE = ("PATH", "HOME", "PYTHONDONTWRITEBYTECODE")
# The project's own settings: keys of .env, keys of a single run, and keys set in images.
SETTINGS = frozenset(
    {
        *("TICK_SOURCE", "SYMBOLS", "TICKS_PER_SECOND", "SEED", "MAX_TICKS", "MALFORMED_RATE", "REPLAY_FILE", "REPLAY_SPEED"),
        *("REPLAY_MAP", "REPLAY_IGNORE_COLUMNS", "REPLAY_SYMBOL", "REPLAY_OHLC", "REPLAY_DELIMITER", "REPLAY_ENCODING"),
        *("REPLAY_DECIMAL_MARK", "REPLAY_DATES", "REPLAY_TIME_UNIT", "REPLAY_TIME_ZONE", "REPLAY_DECIMALS"),
        *("REPLAY_PRICE_SCALE", "REPLAY_SIZE_SCALE", "HISTORY_MINUTES"),
        *("FLUSH_SECONDS", "DELIVERY_TIMEOUT_SECONDS"),
        *("KAFKA_TOPIC", "KAFKA_PARTITIONS", "KAFKA_RETENTION_HOURS", "KAFKA_PORT", "ZOOKEEPER_PORT", "KAFKA_BOOTSTRAP"),
        *("KRAFT", "KAFKA_VERSION", "KAFKA_CONTROLLER_PORT", "CLUSTER", "KAFKA_PORT_2", "KAFKA_PORT_3", "KAFKA_REPLICATION"),
        *("KAFKA_HEAP", "ZOOKEEPER_HEAP", "KAFKA_JARS", "BROKER_WAIT_SECONDS"),
        *("TRIGGER_SECONDS", "BARS_SECONDS", "MAX_OFFSETS_PER_TRIGGER", "READER", "KAFKA_OPTIONS"),
        *("SPARK_HEAP", "SPARK_CORES", "SPARK_UI_PORT", "SPARK_BIND", "SPARK_JARS", "SPARK_ARCHIVE"),
        *("SPARK_MASTER", "SPARK_HOST", "SPARK_SECRET_FILE", "SPARK_EXECUTOR_HEAP", "SPARK_MASTER_PORT"),
        *("DASHBOARD_PORT", "DATA_DIR", "DATA_UMASK"),
        *("LAKE_URI", "S3_ENDPOINT", "S3_REGION", "S3_CREDENTIALS_FILE", "S3_CACHE_MB", "S3", "S3_PORT", "S3_SERVER"),
        *("ROLES", "RUN_SECONDS", "YES", "ADOPT", "SKIP", "ALTERED", "EXCUSE", "REASON", "SOURCE", "UNDO"),
    }
)
# Switches of tests, which Spark's workers inherit. JVM_OF_TESTS has options for every JVM, separated by spaces.
OF_TESTS = ("FAILPOINT", "FAILPOINT_GROUP", "JVM_OF_TESTS")
# Variables that a program with a window also needs.
OF_A_DESKTOP = ("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "BROWSER", "TERM")
# Variables that would change the behaviour of Java, Spark or Python. The lake's processes never get them; doctor names them.
DANGEROUS = re.compile(
    r"_?JAVA_(TOOL_)?OPTIONS|JDK_JAVA_OPTIONS|CLASSPATH|KAFKA_(\w+_)?OPTS|(PY)?SPARK_\w+|HADOOP_\w+|YARN_\w+|HIVE_\w+"
    r"|PYTHON(PATH|HOME|STARTUP|WARNINGS|IOENCODING|OPTIMIZE|HASHSEED)|LD_(PRELOAD|LIBRARY_PATH)"
)


class UnusableScratchError(Exception):
    """The folder for temporary files cannot be used; the message says why and how to fix it."""


def composed(own: Mapping[str, str] | None = None, *, also: Iterable[str] = (), settings: bool = True) -> dict[str, str]:
    """Return a process's environment: fixed values, the caller's listed variables and those in `also`; `own` overrides all.

    With `settings=False` the caller's values for keys of .env are left out too.
    """
    allowed = {*OF_THE_MACHINE, *OF_TESTS, *also} | (SETTINGS if settings else set())
    inherited = {key: value for key, value in os.environ.items() if key in allowed}
    java = {"JAVA_HOME": str(home)} if (home := java_home()) else {}
    return {**inherited, **FIXED, **java, **(own or {})}


def settle(umask: str, own: Mapping[str, str] | None = None) -> None:
    """Replace this process's own environment by a composed one, and set its umask."""
    environment = composed(own)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.umask(int(umask, 8))


def importing(*packages: ModuleType) -> dict[str, str]:
    """Return PYTHONPATH for another Python to find these packages, which in an image it cannot find otherwise."""
    folders = (str(Path(package.__path__[0]).parents[package.__name__.count(".")]) for package in packages)
    return {"PYTHONPATH": os.pathsep.join(dict.fromkeys(folders))}


def jvm_options_of_tests() -> list[str]:
    """Return the options that tests give to the job's JVM; none outside of tests."""
    return os.environ.get("JVM_OF_TESTS", "").split()


def foreign() -> list[str]:
    """Return the names of the caller's variables that would affect the lake's processes but are not passed to them."""
    return sorted(key for key in os.environ if DANGEROUS.fullmatch(key) and key not in SETTINGS)


def java_home() -> Path | None:
    """Return JAVA_HOME if it has a Java that is new enough; None means that the one on PATH is used."""
    home = os.environ.get("JAVA_HOME", "")
    if not home or not os.access(Path(home) / "bin" / "java", os.X_OK):
        return None
    return Path(home) if _release(Path(home)) >= JAVA else None


def stale_java_home() -> str | None:
    """Return JAVA_HOME if it is set but has no usable Java."""
    home = os.environ.get("JAVA_HOME", "")
    return home if home and java_home() is None else None


def _release(home: Path) -> int:
    """Read the Java version in a folder; an unknown version counts as new enough."""
    try:
        version = re.search(r'^JAVA_VERSION="(\d+)', (home / "release").read_text(errors="replace"), re.MULTILINE)
    except OSError:
        version = None
    return int(version[1]) if version else JAVA


def scratch(data_dir: Path, role: str) -> Path:
    """Return the folder for a role's temporary files. It is not /tmp, which may be mounted noexec."""
    return data_dir.resolve() / "run" / "tmp" / role


def make_scratch(data_dir: Path, role: str) -> Path:
    """Create the folder, emptied of files of a killed run; the caller must hold the role's lock.

    Raises UnusableScratchError, and beneath.IrregularError if a folder on the path is a link.
    """
    root, folder = data_dir.resolve(), scratch(data_dir, role)
    beneath.remove(root, folder)
    beneath.make_folder(root, folder, 0o700)
    require_execution(folder)
    return folder


def require_execution(folder: Path) -> None:
    """Raise UnusableScratchError if Java could not load native libraries that it unpacks into this folder."""
    if not allows_execution(folder):
        raise UnusableScratchError(
            f"{folder} is on a volume mounted noexec: Java could not load its native libraries (zstd, snappy) from there. "
            "Mount it with exec, or set DATA_DIR to a folder on another volume."
        )


def allows_execution(folder: Path) -> bool:
    """Whether programs and libraries in an existing folder may be executed."""
    return not os.statvfs(folder).f_flag & os.ST_NOEXEC
