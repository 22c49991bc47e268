"""Summarize and print figures."""

from __future__ import annotations

import json
import statistics
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def as_line(figures: Mapping[str, Any]) -> str:
    """Return figures as one line of text."""
    return json.dumps(figures).replace('"', "")


def medians(measured: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the median of each figure."""
    return {name: statistics.median(figures[name] for figures in measured) for name in measured[0]}


def spread(ratios: Sequence[float]) -> dict[str, float]:
    """Return median and extremes of paired ratios."""
    return {name: round(of(ratios), 3) for name, of in (("median", statistics.median), ("min", min), ("max", max))}
