"""What an import says while it runs: progress on a terminal, outages of the broker in a line."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from finance_lake.cli.app import say
from finance_lake.cli.display import progress as progress_bar
from finance_local.importing.work import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType, TracebackType

QUIET = {"connected", "publishing"}


class ConsoleLog:
    """A log for people: warnings and errors in one line each; of the rest only that an outage is over."""

    def info(self, event: str, **figures: Any) -> None:  # noqa: ANN401
        """Say what happened, unless it is usual."""
        if event not in QUIET:
            self.warning(event, **figures)

    def warning(self, event: str, **figures: Any) -> None:  # noqa: ANN401
        """Say what happened."""
        say(f"{event}{' (' + ', '.join(f'{name} {value}' for name, value in figures.items()) + ')' if figures else ''}")

    error = warning


class Interrupts:
    """Within it, Ctrl-C and SIGTERM only ask to stop: a call returns whether one has arrived. A second Ctrl-C ends it."""

    def __init__(self) -> None:
        """Begin without one."""
        self._arrived = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Take the signals."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __call__(self) -> bool:
        """Whether a signal has arrived."""
        return self._arrived

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._arrived and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._arrived = True


@contextmanager
def progress_of(name: str) -> Iterator[Progress]:
    """Show a bar for publishing and one for storing."""
    with progress_bar() as bars:
        publishing = bars.add_task(f"{name}: publishing", total=1.0)
        storing = bars.add_task(f"{name}: storing", total=1.0)
        yield Progress(lambda part: bars.update(publishing, completed=part), lambda part: bars.update(storing, completed=part))
