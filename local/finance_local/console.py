"""Log lines of the roles on one terminal: a prefix, a colour where the terminal has colours."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

COLOURS = {"zookeeper": "yellow", "kafka": "magenta", "topic-init": "blue", "producer": "green", "spark-job": "cyan"}
WIDTH = max(map(len, COLOURS))


class Terminal:
    """Where the supervisor writes."""

    def __init__(self) -> None:
        """Write to standard output; rich finds out what it can show."""
        self._console = Console(soft_wrap=True, highlight=False)

    def line(self, role: str, text: str) -> None:
        """Show a line of a role's output; control characters in it do not reach the terminal."""
        printable = "".join(
            letter if letter.isprintable() or letter == "\t" else "\N{REPLACEMENT CHARACTER}" for letter in text
        )
        self._console.print(Text.assemble((f"{role:<{WIDTH}} | ", COLOURS.get(role, "")), printable))

    def say(self, text: str) -> None:
        """Show a sentence of the supervisor's own."""
        self._console.print(Text(text, style="bold"))
