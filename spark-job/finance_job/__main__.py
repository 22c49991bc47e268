"""Run the job: `python -m finance_job`.

Exit codes: 0 stopped by a signal, 1 failed, 2 invalid settings, 78 refused to start or to go on, 79 maintenance was undone.
"""

from __future__ import annotations

import signal
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING

from finance_job import s3a
from finance_job.config import Settings
from finance_job.derived.tables import followed
from finance_job.failpoint import arm
from finance_job.guard import StartupRefusedError, TopicWatch, open_lake, put_old_state_aside, wait_for_topic
from finance_job.maintenance.compaction import CompactionMismatchError, Maintenance
from finance_job.progress import HEARTBEAT_SECONDS, Progress
from finance_job.query import Query
from finance_job.query_supervisor import UnrecoverableError, supervise
from finance_job.reader import reader_of
from finance_job.repair import forget, redrive
from finance_job.repair.moving import complete
from finance_job.repair.request import ForgetRequest, Requests
from finance_job.schema_guard import UnfitSchemaError
from finance_job.sealing.sealing import Sealing
from finance_job.session import SessionEndedError, start_session
from finance_job.sink import Sink
from finance_job.store_guard import outages_named, require_fit_store
from finance_job.topic_watch import TopicSettings
from finance_job.writer import ConflictError, FencedError, Writer
from finance_kafka.describe import describe_topic
from finance_role import beneath
from finance_role.exit_codes import COMPACTION_MISMATCH, REFUSED
from finance_role.heartbeat import Heartbeat, heartbeat_file
from finance_role.lock import hold_or_exit
from finance_role.log import configure_logging
from finance_role.settings import begin_role
from finance_storage.errors import StoreUnavailableError
from finance_storage.lake_identity import CorruptStateError
from finance_storage.paths import LakePaths

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from finance_job.repair.request import RedriveAnswer

ROLE = "spark-job"


def main() -> int:
    """Run the job until SIGTERM or SIGINT."""
    arm()
    settings = begin_role(Settings)
    log = configure_logging()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    lock = hold_or_exit(settings.data_dir, ROLE)
    log.info("settings", **settings.model_dump(mode="json"))
    paths = LakePaths.of(settings, settings.data_dir.resolve())
    try:
        with lock:
            _run(settings, paths, stopping, log)
    except CompactionMismatchError as error:
        log.error("stopped", reason=str(error))  # noqa: TRY400 - no traceback wanted
        return COMPACTION_MISMATCH
    except (
        StartupRefusedError,
        UnfitSchemaError,
        UnrecoverableError,
        FencedError,
        CorruptStateError,
        beneath.IrregularError,
    ) as error:
        log.error("refused: a restart would not fix this", reason=str(error))  # noqa: TRY400 - no traceback wanted
        return REFUSED
    except (ConflictError, SessionEndedError, StoreUnavailableError) as error:
        log.error("stopped: a restart may succeed", reason=str(error))  # noqa: TRY400 - no traceback wanted
        return 1
    log.info("stopped")
    return 0


def _run(settings: Settings, paths: LakePaths, stopping: threading.Event, log: FilteringBoundLogger) -> None:
    bootstrap, topic = settings.kafka_bootstrap, settings.kafka_topic
    if not require_fit_store(paths, stopping, log):
        return
    broker = wait_for_topic(bootstrap, topic, stopping, log)
    if broker is None:
        return
    with outages_named(paths):
        identity = open_lake(paths, topic, broker)
        writer = Writer(paths, identity)
    held = identity.current
    log.info("lake opened", lake=identity.lake, epoch=writer.epoch, topic_id=held.topic_id, cluster=held.cluster)
    if moved := put_old_state_aside(paths):
        log.info("lake of an earlier version taken over: its state is in its tables now", moved=[str(path) for path in moved])
    if records := complete(paths, writer):
        log.info("an interrupted redrive or retraction is complete", records=records)
    progress = Progress(log, Heartbeat(heartbeat_file(settings.data_dir, ROLE), HEARTBEAT_SECONDS), identity.base)
    settings_check = TopicSettings.of(bootstrap, topic, settings.kafka_retention_hours, log)
    settings_check.check()
    watch = TopicWatch(bootstrap, identity, settings_check.check)
    spark = start_session(settings)
    query = Query(spark, settings, paths, writer)
    try:
        spark.streams.addListener(progress)
        sink = Sink(paths, writer, reader_of(spark, settings, identity.base), progress.stored)
        maintenance = Maintenance(paths, writer, sink.between_batches, log)
        sealing = Sealing(paths, writer, partial(describe_topic, bootstrap, topic), sink.between_batches, log)

        requests = Requests(paths, log)

        def repair_between_batches(wanted: str | ForgetRequest) -> RedriveAnswer:
            with sink.between_batches():
                if isinstance(wanted, ForgetRequest):
                    return forget.answer_to(paths, writer, wanted)
                return redrive.answer_to(paths, writer, wanted)

        def between_polls() -> None:
            if watch.fault:
                raise UnrecoverableError(watch.fault)
            with outages_named(paths):
                requests.serve(repair_between_batches)
                maintenance.step()
                sealing.step()

        log.info("connected", bootstrap=bootstrap, topic=topic, table=str(paths.ticks))
        with followed(spark, paths, identity.lake, s3a.bars_seconds(settings, log), log):
            supervise(stopping, lambda: query.start(sink, log), sink, between_polls, log)
        log.info("stopping")
    finally:
        watch.close()
        spark.stop()
        query.close()


if __name__ == "__main__":
    sys.exit(main())
