"""What the machine must have before anything starts: Java 17, and ports that nobody else has."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from finance_local.config import Settings

REQUIRE = Path("local/require").resolve()


class UnfitMachineError(Exception):
    """Something is missing or taken; the message says what, and how to mend it."""


def require_java() -> None:
    """Raise UnfitMachineError unless a Java of the right version is on the PATH."""
    result = subprocess.run([REQUIRE, "java"], capture_output=True, text=True, check=False)
    if result.returncode:
        raise UnfitMachineError(result.stderr.strip())


def require_free_ports(settings: Settings) -> None:
    """Raise UnfitMachineError if a port that a role will listen on is taken."""
    ports = {
        "zookeeper": ("ZOOKEEPER_PORT", settings.zookeeper_port),
        "kafka": ("KAFKA_PORT", settings.kafka_port),
        "spark-job": ("SPARK_UI_PORT", settings.spark_ui_port),
    }
    wanted = [ports[role] for role in settings.roles if role in ports]
    taken = [f"port {port} is taken: set {key} in .env to another one" for key, port in wanted if port and not _is_free(port)]
    if taken:
        raise UnfitMachineError("; ".join(taken) + "; or stop what listens there.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
