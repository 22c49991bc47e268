"""`python -m finance_local.repair recover|redrive`: run a repair of the job with the settings of `.env`, and with a broker.

If no broker responds, `recover` starts the lake's broker for the duration of the repair, and ZooKeeper if the lake has it. So a
lake that is down can be repaired, whether it usually runs as local processes or in containers. With ADOPT=1 the broker may be a
new one, and the topic is created if it does not exist.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING

from finance_local import env_file
from finance_local.cluster_roles import all_roles
from finance_local.config import BROKERS, ZOOKEEPERS
from finance_local.console import Terminal
from finance_local.preflight import (
    OtherKindError,
    UnfitMachineError,
    require_free_ports,
    require_jars,
    require_java,
    require_the_lakes_kind,
    require_usable_folders,
)
from finance_local.supervisor import RoleEndedError, Supervisor
from finance_local.validation import validated_or_exit
from finance_local.with_env import complaint, load_env_file
from finance_role import beneath, broker_kind
from finance_role.broker_kind import Kind
from finance_role.child import end_with_parent
from finance_role.environment import composed
from finance_role.exit_codes import REFUSED, SIGNALLED, USAGE
from finance_role.lock import AlreadyRunningError
from finance_role.ports import LOOPBACK, listens
from finance_role.settings import RoleSettings, settings_or_exit

if TYPE_CHECKING:
    from finance_local.config import Settings

COMMANDS = {"recover": "finance_job.repair.recover", "redrive": "finance_job.repair.redrive"}
BROKER = {Kind.ZOOKEEPER: ("zookeeper", "kafka"), Kind.KRAFT: ("kafka",), Kind.CLUSTER: (*ZOOKEEPERS, *BROKERS)}


class AdoptionSettings(RoleSettings):
    """The option of `make recover` that decides which broker and topic it may begin."""

    adopt: bool = False


def broker_answers(settings: Settings) -> bool:
    """Whether a process listens on the port of one of the brokers; those at KAFKA_BOOTSTRAP are not asked."""
    return settings.kafka_bootstrap is not None or any(listens(LOOPBACK, port) for port in settings.broker_ports.values())


async def repair(command: str, settings: Settings) -> int:
    """Run the command, with a broker if it needs one; return its exit code. SIGTERM ends it and everything it has started."""
    if task := asyncio.current_task():
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    if command != "recover" or broker_answers(settings):
        return await _run(command, settings)
    adopts = settings_or_exit(AdoptionSettings).adopt
    settings = with_the_lakes_broker(settings, adopts=adopts)
    require_the_lakes_kind(settings, adopts=adopts)
    require_java()
    require_jars(settings)
    require_usable_folders(settings)
    require_free_ports(settings)
    terminal = Terminal()
    roles = all_roles(settings)
    supervisor = Supervisor({name: roles[name] for name in settings.roles}, settings.data_dir, lambda *_: None)
    terminal.say("No broker responds: starting the lake's broker for the repair ...")
    try:
        await supervisor.start()
        return await _run(command, settings)
    finally:
        await supervisor.stop()
        terminal.say("The broker is stopped.")


def with_the_lakes_broker(settings: Settings, *, adopts: bool = False) -> Settings:
    """Return the settings with the roles of the lake's brokers, which the lake's folder names, whatever the switches say.

    A lake without a broker gets the kind that the switches choose. One that `adopts` a topic gets its topic too.
    """
    topic = ("topic-init",) if adopts else ()
    kind = broker_kind.of_lake(settings.data_dir)
    if kind is None:
        return settings.model_copy(update={"roles": (*BROKER[settings.kind], *topic)})
    switches = {
        "kraft": kind is Kind.KRAFT,
        "cluster": kind is Kind.CLUSTER,
        "kafka_version": broker_kind.version_of_lake(settings.data_dir),
    }
    return settings.model_copy(update={**switches, "roles": (*BROKER[kind], *topic)})


async def _run(command: str, settings: Settings) -> int:
    environment = composed(all_roles(settings)["spark-job"].environment)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", COMMANDS[command]), env=environment, preexec_fn=end_with_parent()
    )
    try:
        return await process.wait()
    except asyncio.CancelledError:
        process.terminate()
        await process.wait()
        raise


def main() -> int:
    """Check settings and the machine, then repair."""
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command not in COMMANDS:
        sys.stderr.write(f"usage: python -m finance_local.repair {'|'.join(COMMANDS)}\n")
        return USAGE
    try:
        load_env_file()
        settings = validated_or_exit("spark-job")
        os.umask(int(settings.data_umask, 8))
        return asyncio.run(repair(command, settings))
    except asyncio.CancelledError:
        return SIGNALLED + signal.SIGTERM
    except env_file.EnvFileError as error:
        sys.stderr.write(complaint(error))
        return USAGE
    except (AlreadyRunningError, OtherKindError, beneath.IrregularError) as error:
        sys.stderr.write(f"{error}\n")
        return REFUSED
    except (UnfitMachineError, RoleEndedError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
