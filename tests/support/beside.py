"""Do something again and again in another thread, beside what a test does."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def beside(step: Callable[[], None], pause_seconds: float) -> Iterator[None]:
    """Call `step` again and again, with pauses, until the end of the block. The block fails if a call has failed."""
    ending, failed = threading.Event(), list[Exception]()

    def run() -> None:
        try:
            while not ending.wait(pause_seconds):
                step()
        except Exception as error:  # noqa: BLE001 (raised at the end of the block)
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()
    if failed:
        raise failed[0]
