"""`python -m finance_local.migrate`: migrate a stopped lake from Kafka with ZooKeeper to Kafka without it (KRaft).

kafka/broker/migrate-to-kraft does it, the same way in a container. This module checks the machine and holds the locks.
"""

from __future__ import annotations

import os
import socket
import sys
from contextlib import ExitStack, closing

from finance_local import env_file
from finance_local.preflight import UnfitMachineError, require_java, require_usable_folders
from finance_local.roles import BROKER, broker_environment
from finance_local.validation import validated_or_exit
from finance_local.with_env import complaint, load_env_file
from finance_role import beneath, broker_kind
from finance_role.child import run
from finance_role.environment import composed
from finance_role.exit_codes import REFUSED, USAGE
from finance_role.lock import AlreadyRunningError, hold
from finance_role.ports import LOOPBACK

LOCKED = ("zookeeper", "kafka", "producer", "spark-job")
PORTS = 3


def free_ports() -> list[int]:
    """Return free ports, not those of the settings: no client of the lake may reach the brokers of the migration."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(PORTS)]
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return [probe.getsockname()[1] for probe in probes]


def migrate() -> int:
    """Run the migration; return its exit code. Raises AlreadyRunningError, UnfitMachineError, beneath.IrregularError."""
    settings = validated_or_exit("kafka")
    os.umask(int(settings.data_umask, 8))
    if broker_kind.of_lake(settings.data_dir) is None:
        sys.stderr.write(f"There is no lake with a broker at {settings.data_dir}: nothing to migrate.\n")
        return 1
    if broker_kind.of_lake(settings.data_dir) is broker_kind.Kind.CLUSTER:
        sys.stderr.write(f"The lake at {settings.data_dir} runs three brokers: the migration is one for a single broker.\n")
        return 1
    with ExitStack() as locks:
        for role in LOCKED:
            locks.enter_context(closing(hold(settings.data_dir, role)))
        require_java()
        require_usable_folders(settings)
        ports = {"MIGRATION_PORTS": " ".join(map(str, free_ports()))}
        settings = settings.model_copy(update={"kafka_version": broker_kind.OLDER})  # the line that has both
        return run([str(BROKER / "migrate-to-kraft")], composed({**broker_environment(settings), **ports}))


def main() -> int:
    """Migrate; report what prevents it as one sentence."""
    try:
        load_env_file()
        return migrate()
    except env_file.EnvFileError as error:
        sys.stderr.write(complaint(error))
        return USAGE
    except (AlreadyRunningError, beneath.IrregularError) as error:
        sys.stderr.write(f"{error}\n")
        return REFUSED
    except UnfitMachineError as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
