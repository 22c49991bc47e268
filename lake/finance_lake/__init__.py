"""Read the lake.

    import finance_lake as fl

    lake = fl.open()
    lake.bars("1m", symbols="AAPL").pl()

`finance_storage`, which the job uses too, has the accounting without any engine. Engines are imported when first needed.
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
    """Open the lake in a folder, or at `s3://bucket/prefix`, for reading.

    The default is LAKE_URI, DATA_DIR or `data`. The settings of the object store (S3_ENDPOINT, S3_CREDENTIALS_FILE and so on)
    come from the environment; `.env` is not read. Nothing is locked or written in the lake, so the job may keep running.
    Raises NoLakeError if there is no lake.
    """
    from finance_lake.lake import Lake, paths_of  # noqa: PLC0415 (engines take a while)

    return Lake(paths_of(data))


def __getattr__(name: str) -> Any:  # noqa: ANN401 (a module's attribute, PEP 562)
    """Import names that need an engine on first use."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
