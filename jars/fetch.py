"""Fetch the jars listed in a lock file, and accept only those whose SHA-256 matches.

    python3 jars/fetch.py jars/kafka-3.9.lock build/jars/kafka --ivy .../ivy.jar

Apache Ivy does the transfer. It has the address of the public Maven repository built in, so the project has none, and its jar
comes with the pyspark wheel (and with Debian's package `ivy`), so no build tool has to be installed. Standard library only,
because image builds run this file before anything else is installed.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

JAVA_MISSING = (
    "Java 17 is missing. Install it: `sudo apt-get install openjdk-17-jre-headless` (Debian), `brew install openjdk@17` (mac)."
)


class Jar(NamedTuple):
    """One line of a lock file: `sha256  group:artifact:version`."""

    sha256: str
    group: str
    artifact: str
    version: str

    @property
    def file_name(self) -> str:
        """The name that Maven repositories and classpaths use."""
        return f"{self.artifact}-{self.version}.jar"


def read_lock(text: str) -> list[Jar]:
    """Parse a lock file; blank lines and comments are skipped."""
    lines = (line.split("#")[0].split() for line in text.splitlines())
    return [Jar(sha256, *coordinates.split(":")) for sha256, coordinates in filter(None, lines)]


def is_intact(jar: Jar, folder: Path) -> bool:
    """Whether the folder has the jar with the right checksum."""
    path = folder / jar.file_name
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == jar.sha256


def ivy_module(jars: list[Jar]) -> ElementTree.ElementTree[ElementTree.Element]:
    """Return an Ivy module that depends on exactly these jars, without their transitive dependencies."""
    module = ElementTree.Element("ivy-module", version="2.0")
    ElementTree.SubElement(module, "info", organisation="financelake", module="jars")
    dependencies = ElementTree.SubElement(module, "dependencies")
    for jar in jars:
        dependency = ElementTree.SubElement(
            dependencies, "dependency", org=jar.group, name=jar.artifact, rev=jar.version, transitive="false", conf="default"
        )
        ElementTree.SubElement(dependency, "artifact", name=jar.artifact, type="jar", ext="jar")
    return ElementTree.ElementTree(module)


def retrieve(jars: list[Jar], ivy: Path, scratch: Path) -> Path:
    """Download the jars with Ivy into a folder below `scratch`; return the folder."""
    module, folder = scratch / "ivy.xml", scratch / "jars"
    ivy_module(jars).write(module)
    command: list[str | Path] = ["java", "-jar", ivy, "-warn", "-cache", scratch / "cache", "-ivy", module]
    command += ["-retrieve", folder / "[artifact]-[revision].[ext]"]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"The jars could not be downloaded. Check the network.\n{(result.stdout + result.stderr)[-2000:]}")
    return folder


def fetch(lock: Path, folder: Path, ivy: Path) -> None:
    """Put every jar of the lock file into the folder; exit with a message if one cannot be downloaded or does not match."""
    jars = read_lock(lock.read_text())
    missing = [jar for jar in jars if not is_intact(jar, folder)]
    if not missing:
        return
    if shutil.which("java") is None:
        sys.exit(JAVA_MISSING)
    print(f"Fetching {len(missing)} jars for {folder} ...", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        downloads = retrieve(missing, ivy, Path(scratch))
        for jar in missing:
            if not is_intact(jar, downloads):
                sys.exit(f"{jar.file_name} does not match {lock} (its SHA-256 differs): refused.")
            (downloads / jar.file_name).replace(folder / jar.file_name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lock", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--ivy", type=Path, required=True, help="path of Apache Ivy's jar")
    arguments = parser.parse_args()
    fetch(arguments.lock, arguments.folder, arguments.ivy)
