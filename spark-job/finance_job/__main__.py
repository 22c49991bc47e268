"""Run the job: `python -m finance_job`. Exit codes: 0 stopped when told to, 1 failed, 2 wrong settings, 78 refused."""

from __future__ import annotations

import signal
import sys
import threading

from finance_job.config import Settings
from finance_job.progress import PATIENCE_SECONDS, Progress
from finance_job.session import start_session
from finance_job.sink import Sink
from finance_job.source import read_topic
from finance_job.stream import HopelessError, run_until
from finance_job.tables import create_tables
from finance_lake.state.checkpoint import Checkpoint
from finance_lake.state.layout import Layout
from finance_role.heartbeat import Heartbeat, heartbeat_file
from finance_role.lock import REFUSED, hold_or_exit
from finance_role.log import story
from finance_role.settings import settings_or_exit

ROLE = "spark-job"


def main() -> int:
    """Wire the parts together and run until SIGTERM or SIGINT."""
    settings = settings_or_exit(Settings)
    log = story()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    lock = hold_or_exit(settings.data_dir, ROLE)
    log.info("settings", **settings.model_dump(mode="json"))
    layout = Layout(settings.data_dir.resolve())
    progress = Progress(log, Heartbeat(heartbeat_file(settings.data_dir, ROLE), PATIENCE_SECONDS))
    spark = start_session(settings)
    try:
        spark.streams.addListener(progress)
        create_tables(spark, layout)
        sink = Sink(spark, layout, Checkpoint(layout.checkpoint), progress.stored)
        writer = (
            read_topic(spark, settings)
            .writeStream.foreachBatch(sink)
            .option("checkpointLocation", str(layout.checkpoint))
            .trigger(processingTime=f"{settings.trigger_seconds} seconds")
        )
        log.info("connected", bootstrap=settings.kafka_bootstrap, topic=settings.kafka_topic, table=str(layout.ticks))
        run_until(stopping, writer.start, sink, log)
        log.info("stopping")
    except HopelessError as error:
        log.error("stopped, and starting again would not mend it", reason=str(error))  # noqa: TRY400 - a sentence, not a crash
        return REFUSED
    finally:
        spark.stop()
        lock.close()
    log.info("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
