"""The schedule of faults, drawn from a seed so that a run can be repeated."""

from __future__ import annotations

import random
from dataclasses import dataclass

ROLES = ("spark-job", "producer", "kafka", "zookeeper")
# The job is hit most often; an outage of ZooKeeper has little effect while the broker runs.
WEIGHTS = {"spark-job": 5, "producer": 2, "kafka": 3, "zookeeper": 1}
KINDS = {"kill": 6, "stop": 2, "pause": 2, "kill both": 1, "fill the disk": 1}


@dataclass(frozen=True)
class Fault:
    """One round.

    Attributes:
        kind: one of KINDS
        roles: the roles it hits; none for a full disk
        after_seconds: from the start of the round
        lasts_seconds: until the roles are started or continued again, or the disk has space again

    """

    kind: str
    roles: tuple[str, ...]
    after_seconds: float
    lasts_seconds: float

    def __str__(self) -> str:
        """Return the fault as a line of the run's output."""
        roles = " and ".join(self.roles)
        return f"{self.kind} {roles} after {self.after_seconds:.1f} s, for {self.lasts_seconds:.1f} s".replace("  ", " ")


def schedule(seed: int, rounds: int) -> list[Fault]:
    """Draw the faults of a run."""
    draw = random.Random(seed)  # noqa: S311 (not for cryptography; the seed makes it repeatable)
    return [_fault(draw) for _ in range(rounds)]


def _fault(draw: random.Random) -> Fault:
    (kind,) = draw.choices(list(KINDS), list(KINDS.values()))
    (role,) = draw.choices(ROLES, [WEIGHTS[name] for name in ROLES])
    other = draw.choice([name for name in ROLES if name != role])
    roles = {"kill both": (role, other), "fill the disk": ()}.get(kind, (role,))
    return Fault(kind, roles, draw.uniform(0, 8), draw.uniform(0, 5))
