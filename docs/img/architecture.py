"""Draw docs/img/architecture-light.svg and -dark.svg: `python docs/img/architecture.py`."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
WIDTH, HEIGHT = 960, 400
FONT = "ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"


class Theme(NamedTuple):
    """Colours of a picture."""

    ink: str
    faint: str
    box: str
    edge: str
    accent: str


class Box(NamedTuple):
    """A rectangle with a title and lines below it; position and size in pixels."""

    left: int
    top: int
    width: int
    height: int
    title: str
    lines: tuple[str, ...] = ()
    accent: bool = False


THEMES = {
    "light": Theme("#1f2328", "#59636e", "#f6f8fa", "#d1d9e0", "#0969da"),
    "dark": Theme("#f0f6fc", "#9198a1", "#151b23", "#3d444d", "#4493f8"),
}
BOXES = (
    Box(20, 70, 150, 110, "producer", ("simulated market,", "or a replayed file", "acks → ledger")),
    Box(220, 70, 160, 110, "Kafka", ("topic finance", "4 partitions", "ZooKeeper mode")),
    Box(
        430,
        40,
        210,
        170,
        "spark-job",
        ("plan, limit, trigger: Spark", "read: Spark's Kafka source", "decode strictly: Python", "commit: delta-rs"),
    ),
    Box(
        700, 40, 240, 75, "data/finance_delta", ("good ticks, exact decimals", "rows + next position, one commit"), accent=True
    ),
    Box(
        700,
        135,
        240,
        75,
        "data/finance_quarantine",
        ("malformed: bytes, place, reason", "rows + next position, one commit"),
        accent=True,
    ),
    Box(220, 290, 420, 80, "financelake verify", ("table = topic? gaps, duplicates, alterations: exit code",), accent=True),
    Box(700, 290, 240, 80, "readers", ("CLI, Python, SQL, dashboard;", "DuckDB, Polars, Spark, pandas")),
)
# From, to (pixels), label, position of the label.
ARROWS = (
    ((170, 125), (220, 125), "", (0, 0)),
    ((380, 125), (430, 125), "", (0, 0)),
    ((640, 78), (700, 78), "2nd", (670, 70)),
    ((640, 172), (700, 172), "1st", (670, 164)),
    ((300, 180), (300, 290), "topic: offsets, identity", (308, 240)),
    ((720, 210), (600, 290), "tables: rows, digests, positions", (452, 268)),
    ((820, 210), (820, 290), "", (0, 0)),
    ((95, 180), (240, 290), "ledger: acknowledged", (30, 240)),
)


def text(left: float, top: float, words: str, colour: str, *, size: int = 13, bold: bool = False, middle: bool = False) -> str:
    """Return a line of text."""
    weight, anchor = ' font-weight="600"' * bold, ' text-anchor="middle"' * middle
    return f'<text x="{left}" y="{top}" font-size="{size}" fill="{colour}"{weight}{anchor}>{escape(words)}</text>'


def box(shape: Box, theme: Theme) -> str:
    """Return a box with its title and lines."""
    edge = theme.accent if shape.accent else theme.edge
    rectangle = f'<rect x="{shape.left}" y="{shape.top}" width="{shape.width}" height="{shape.height}" rx="8" fill="{theme.box}" stroke="{edge}"/>'
    lines = [text(shape.left + 12, shape.top + 48 + 20 * row, line, theme.faint) for row, line in enumerate(shape.lines)]
    return "\n".join([rectangle, text(shape.left + 12, shape.top + 26, shape.title, theme.ink, size=15, bold=True), *lines])


def arrow(start: tuple[int, int], end: tuple[int, int], label: str, place: tuple[int, int], theme: Theme) -> str:
    """Return an arrow with its label."""
    line = f'<path d="M{start[0]} {start[1]} L{end[0]} {end[1]}" stroke="{theme.faint}" fill="none" marker-end="url(#head)"/>'
    return "\n".join([line, text(*place, label, theme.faint, size=12, middle=len(label) == len("1st"))]) if label else line


def picture(theme: Theme) -> str:
    """Return the picture as SVG."""
    head = f'<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="{theme.faint}"/></marker>'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="{FONT}" role="img">',
        "<title>The producer publishes to Kafka; the Spark job appends to two Delta tables; verify compares them</title>",
        f"<defs>{head}</defs>",
        *(box(shape, theme) for shape in BOXES),
        *(arrow(*line, theme) for line in ARROWS),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def main() -> None:
    """Write both pictures."""
    for name, theme in THEMES.items():
        (HERE / f"architecture-{name}.svg").write_text(picture(theme), encoding="utf-8")


if __name__ == "__main__":
    main()
