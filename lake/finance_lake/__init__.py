"""The reading side of the lake.

    import finance_lake as fl

    lake = fl.open()
    lake.bars("1m", symbols="AAPL").pl()

`finance_storage` is what the job shares with it: pure accounting, no engine inside. Engines are imported when first needed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from finance_storage.errors import LakeError, NoLakeError, QueryError, RequestError, UnreadableError

if TYPE_CHECKING:
    from os import PathLike

    from finance_lake.lake import Lake
    from finance_lake.query.result import Result
    from finance_lake.query.sql import Limits

__all__ = [
    "Lake",
    "LakeError",
    "Limits",
    "NoLakeError",
    "QueryError",
    "RequestError",
    "Result",
    "UnreadableError",
    "open",
]
_LATER = {"Lake": "finance_lake.lake", "Limits": "finance_lake.query.sql", "Result": "finance_lake.query.result"}


def open(data: str | PathLike[str] | None = None) -> Lake:  # noqa: A001 (fl.open, as of a file)
    """Open the lake in a folder for reading: DATA_DIR of the environment, or `data`, where none is given. `.env` is not read.

    Nothing is locked and nothing is written; the job may go on meanwhile. Raises NoLakeError if there is no lake.
    """
    from finance_lake.lake import Lake, default_folder  # noqa: PLC0415 (engines take a while)

    return Lake(data or default_folder())


def __getattr__(name: str) -> Any:  # noqa: ANN401 (a module's attribute, PEP 562)
    """Import what needs an engine when it is first named."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
