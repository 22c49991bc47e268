"""Run the pipeline as local processes: `python -m finance_local`.

Exit codes: 0 stopped in order; 1 a role failed, the machine lacks something, or verify found a fault; 2 wrong settings; 78 the
lake already runs, holds another topic, has another kind of Kafka, cannot use the topic at KAFKA_BOOTSTRAP, or has a link
where it would write.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import closing
from typing import TYPE_CHECKING

from finance_kafka.describe import BrokerUnavailableError, TopicNotFoundError, describe_topic
from finance_local import env_file
from finance_local.cluster_roles import all_roles
from finance_local.console import Terminal, log_file
from finance_local.drain import drain
from finance_local.preflight import OtherKindError, OtherTopicError, UnfitMachineError, require_fit, topic_of_others
from finance_local.supervisor import RoleEndedError, Supervisor
from finance_local.validation import validated_or_exit
from finance_local.with_env import complaint, load_env_file
from finance_role import beneath, own_store
from finance_role.exit_codes import REFUSED, USAGE
from finance_role.lock import AlreadyRunningError
from finance_role.spark_secret import make_secret
from finance_storage.paths import LakePaths
from finance_topic.check import UnfitTopicError
from finance_verify.context import VerifyContext
from finance_verify.verdict import Code, save_verdict
from finance_verify.verify import verify

if TYPE_CHECKING:
    from finance_local.config import Settings
    from finance_verify.verdict import Report


async def run(settings: Settings, terminal: Terminal) -> int:
    """Run the roles until a signal, the end of RUN_SECONDS or the end of a role; then stop all of them."""
    roles = {name: role for name, role in all_roles(settings).items() if name in settings.roles}
    supervisor = Supervisor(roles, settings.data_dir, terminal.line)
    interrupted = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, interrupted.set)
    waits = [
        asyncio.create_task(interrupted.wait()),
        asyncio.create_task(supervisor.until_one_ends()),
        asyncio.create_task(_scenario(supervisor, settings, terminal, interrupted)),
    ]
    try:
        done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        return max(int(task.result() or 0) for task in done if task is not waits[0]) if done != {waits[0]} else 0
    finally:
        for task in waits:
            task.cancel()
        terminal.say("Stopping ...")
        await supervisor.stop()
        terminal.say("Stopped; all data is kept.")


async def _scenario(supervisor: Supervisor, settings: Settings, terminal: Terminal, interrupted: asyncio.Event) -> int:
    await supervisor.start()
    terminal.say(f"Running: {' '.join(settings.roles)}. See `make show` and `make dashboard`; Ctrl-C stops.")
    if not settings.run_seconds:
        await interrupted.wait()
        return 0
    await asyncio.sleep(settings.run_seconds)
    producer = await supervisor.stop("producer")
    bootstrap, paths = settings.broker_addresses, LakePaths.of(settings)
    drained = await asyncio.to_thread(drain, bootstrap, settings.kafka_topic, paths, interrupted.is_set)
    await supervisor.stop("spark-job")
    report = await asyncio.to_thread(_prove, bootstrap, settings.kafka_topic, paths)
    terminal.say(drained.sentence(is_complete=report.code == Code.COMPLETE))
    save_verdict(paths, report, with_broker=True)
    terminal.say(report.as_text())
    if any(producer.values()):
        code = producer["producer"]
        terminal.say(f"the producer ended with code {code}: it did not send all its ticks; see its last lines")
    return 0 if report.code == Code.COMPLETE and not any(producer.values()) else 1


def _prove(bootstrap: str, topic: str, paths: LakePaths) -> Report:
    return verify(paths, VerifyContext(topic, lambda: describe_topic(bootstrap, topic)))


def main() -> int:
    """Check settings and the machine before anything starts, then run."""
    try:
        load_env_file()
        settings = validated_or_exit()
        os.umask(int(settings.data_umask, 8))
        require_fit(settings)
        if settings.cluster:
            make_secret(settings.data_dir)
        if settings.s3:
            own_store.make_credentials(settings.data_dir)
        warnings = topic_of_others(settings)
        with closing(Terminal(log_file(settings.data_dir))) as terminal:
            for line in warnings:
                terminal.say(line)
            return asyncio.run(run(settings, terminal))
    except env_file.EnvFileError as error:
        sys.stderr.write(complaint(error))
        return USAGE
    except (AlreadyRunningError, OtherTopicError, OtherKindError, UnfitTopicError, beneath.IrregularError) as error:
        sys.stderr.write(f"{error}\n")
        return REFUSED
    except (UnfitMachineError, RoleEndedError, BrokerUnavailableError, TopicNotFoundError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
