"""Figures: how they are summed up and printed."""

from __future__ import annotations

import json
import statistics
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def as_line(figures: Mapping[str, Any]) -> str:
    """Lay figures out on one line."""
    return json.dumps(figures).replace('"', "")


def medians(measured: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Take the median of each figure."""
    return {name: statistics.median(each[name] for each in measured) for name in measured[0]}


def spread(ratios: Sequence[float]) -> dict[str, float]:
    """Median and extremes of paired ratios."""
    return {name: round(of(ratios), 3) for name, of in (("median", statistics.median), ("min", min), ("max", max))}
