"""The journal of a redrive, `data/redrive.json`: there while records move from the quarantine into ticks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from finance_lake.state.identity import CorruptStateError
from finance_lake.state.spans import Spans, spans_of

if TYPE_CHECKING:
    from pathlib import Path


class Journal(msgspec.Struct, frozen=True):
    """A redrive under way: its id, the reason that was asked for, and the coordinates (partition, offset) that move."""

    id: str
    reason: str
    coordinates: list[tuple[int, int]]

    @property
    def spans(self) -> Spans:
        """The coordinates as ranges."""
        pairs = np.array(self.coordinates, dtype=np.int64).reshape(-1, 2)
        return spans_of({int(partition): pairs[pairs[:, 0] == partition, 1] for partition in np.unique(pairs[:, 0])})


def read_journal(path: Path) -> Journal | None:
    """Read the journal; None if no redrive is under way. Raises CorruptStateError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Journal)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise CorruptStateError(f"{path} is damaged ({error})") from None
