"""Run the producer: `python -m finance_producer`.

Exit codes: 0 all that was made is acknowledged; 1 some of it is not, or client or disk have failed for good; 2 the settings or
the file to replay cannot be used, or not a row of it; 78 a producer runs already.
"""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException

from finance_producer.columns import UnreadableFileError
from finance_producer.config import Settings
from finance_producer.connection import FatalError
from finance_producer.produce import produce
from finance_role.exit_codes import USAGE
from finance_role.lock import hold_or_exit
from finance_role.log import configure_logging
from finance_role.settings import begin_role

if TYPE_CHECKING:
    from collections.abc import Callable


def main() -> int:
    """Give the exit code, and say in a sentence what went wrong."""
    settings = begin_role(Settings)
    with hold_or_exit(settings.data_dir, "producer"):
        log = configure_logging()
        log.info("settings", **settings.model_dump(mode="json"))
        try:
            return 1 if produce(settings, log, on_signals()) else 0
        except UnreadableFileError as error:
            sys.stderr.write(f"{error}\n")
            return USAGE
        except (FatalError, KafkaException, OSError) as error:
            log.error("giving up", reason=str(error))  # noqa: TRY400 (a known reason needs no traceback)
            return 1


def on_signals() -> Callable[[], bool]:
    """Give a function that tells whether SIGTERM or SIGINT has come; a handler does no more than note it."""
    received: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: received.append(number))
    return lambda: bool(received)


if __name__ == "__main__":
    sys.exit(main())
