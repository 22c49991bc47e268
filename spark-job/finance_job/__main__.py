"""Run the job: `python -m finance_job`.

Exit codes: 0 stopped when told to, 1 failed, 2 wrong settings, 78 refused, 79 stopped because maintenance had to be undone.
"""

from __future__ import annotations

import signal
import sys
import threading
from typing import TYPE_CHECKING

from finance_job import redrive
from finance_job.config import Settings
from finance_job.failpoint import arm, reach
from finance_job.guard import RefusedError, Watch, open_lake, wait_for_topic
from finance_job.maintenance import SPOILED, Maintenance, SpoiledError
from finance_job.progress import PATIENCE_SECONDS, Progress
from finance_job.records import source
from finance_job.request import serve
from finance_job.session import start_session
from finance_job.sink import Sink
from finance_job.source import read_topic
from finance_job.stream import HopelessError, run_until
from finance_job.tables import create_tables
from finance_lake.state.broker import ask
from finance_lake.state.checkpoint import Checkpoint
from finance_lake.state.identity import DamagedError
from finance_lake.state.layout import Layout
from finance_role.heartbeat import Heartbeat, heartbeat_file
from finance_role.lock import REFUSED, hold_or_exit
from finance_role.log import story
from finance_role.settings import begin_role

if TYPE_CHECKING:
    from pyspark.sql.streaming.query import StreamingQuery
    from structlog.typing import FilteringBoundLogger

    from finance_job.request import Answer

ROLE = "spark-job"


def main() -> int:
    """Wire the parts together and run until SIGTERM or SIGINT."""
    arm()
    settings = begin_role(Settings)
    log = story()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    lock = hold_or_exit(settings.data_dir, ROLE)
    log.info("settings", **settings.model_dump(mode="json"))
    layout = Layout(settings.data_dir.resolve())
    try:
        with lock:
            _run(settings, layout, stopping, log)
    except SpoiledError as error:
        log.error("stopped", reason=str(error))  # noqa: TRY400 - a sentence, not a crash
        return SPOILED
    except (RefusedError, HopelessError, DamagedError) as error:
        log.error("refused: starting again would not mend it", reason=str(error))  # noqa: TRY400 - a sentence, not a crash
        return REFUSED
    log.info("stopped")
    return 0


def _run(settings: Settings, layout: Layout, stopping: threading.Event, log: FilteringBoundLogger) -> None:
    bootstrap, topic = settings.kafka_bootstrap, settings.kafka_topic
    broker = wait_for_topic(bootstrap, topic, stopping, log)
    if broker is None:
        return
    identity = open_lake(layout, topic, broker)
    log.info("the lake is in order", query=identity.query, topic_id=identity.topic_id, cluster=identity.cluster)
    progress = Progress(log, Heartbeat(heartbeat_file(settings.data_dir, ROLE), PATIENCE_SECONDS))
    watch = Watch(bootstrap, identity)
    create_tables(layout)
    if moved := redrive.complete(layout):
        log.info("a redrive that was interrupted is complete", records=moved)
    spark = start_session(settings)
    try:
        spark.streams.addListener(progress)
        sink = Sink(spark, layout, Checkpoint(layout.checkpoint), source(bootstrap, topic), progress.stored)
        writer = (
            read_topic(spark, settings)
            .writeStream.foreachBatch(sink)
            .option("checkpointLocation", str(layout.checkpoint))
            .trigger(processingTime=f"{settings.trigger_seconds} seconds")
        )

        def start() -> StreamingQuery:
            open_lake(layout, topic, ask(bootstrap, topic))
            reach("before-offsets")
            return writer.start()

        def redrive_between_batches(reason: str) -> Answer:
            with sink.between_batches():
                return redrive.answer_to(layout, reason)

        def attend() -> None:
            if watch.fault:
                raise HopelessError(watch.fault)
            serve(layout, redrive_between_batches, log)
            maintenance.step()

        maintenance = Maintenance(layout, sink.between_batches, log)
        log.info("connected", bootstrap=bootstrap, topic=topic, table=str(layout.ticks))
        run_until(stopping, start, sink, attend, log)
        log.info("stopping")
    finally:
        watch.close()
        spark.stop()


if __name__ == "__main__":
    sys.exit(main())
