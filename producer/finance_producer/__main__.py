"""Run the producer: `python -m finance_producer`.

Exit codes: 0 every record is acknowledged; 1 some are not, or the client or the disk has failed for good; 2 the settings or the
replay file cannot be used, or no row of the file is a tick; 78 a producer is already running.
"""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException

from finance_producer.config import Settings
from finance_producer.connection import FatalError
from finance_producer.produce import produce
from finance_producer.reading.options import UnreadableFileError
from finance_role.exit_codes import USAGE
from finance_role.lock import hold_or_exit
from finance_role.log import configure_logging
from finance_role.settings import begin_role

if TYPE_CHECKING:
    from collections.abc import Callable


def main() -> int:
    """Run the producer and return the exit code; report a failure in one sentence."""
    settings = begin_role(Settings)
    with hold_or_exit(settings.data_dir, "producer"):
        log = configure_logging()
        log.info("settings", **settings.model_dump(mode="json"))
        if settings.tick_source == "none":
            log.info("nothing to publish: TICK_SOURCE=none")
            return 0
        try:
            return 1 if produce(settings, log, on_signals()) else 0
        except UnreadableFileError as error:
            sys.stderr.write(f"{error}\n")
            return USAGE
        except (FatalError, KafkaException, OSError) as error:
            log.error("giving up", reason=str(error))  # noqa: TRY400 (a known reason needs no traceback)
            return 1


def on_signals() -> Callable[[], bool]:
    """Return a function that returns whether SIGTERM or SIGINT has been received; the handlers only record the signal."""
    received: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: received.append(number))
    return lambda: bool(received)


if __name__ == "__main__":
    sys.exit(main())
