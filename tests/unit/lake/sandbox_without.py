"""The sandbox without those of its three protections that the environment names."""

import os
from typing import Any, BinaryIO, cast

from finance_lake.query import sandbox
from finance_lake.query.lake_files import LakeFiles

WITHOUT = "TEST_SANDBOX_WITHOUT"
STATEMENT, FILES, LANDLOCK = "statement", "files", "landlock"


class WritableFiles(LakeFiles):
    """A file system that opens files in any mode, as DuckDB's own does."""

    def open(self, path: str, mode: str = "rb", **_: Any) -> BinaryIO:  # noqa: ANN401
        """Open a file in any mode."""
        return cast("BinaryIO", self._place(path)[1].open(mode))


if __name__ == "__main__":
    without = os.environ[WITHOUT].split(",")
    if STATEMENT in without:
        vars(sandbox)["require_reading"] = lambda *_: None
    if FILES in without:
        vars(sandbox)["LakeFiles"] = WritableFiles
    if LANDLOCK in without:
        vars(sandbox)["forbid_writing"] = lambda: False
    sandbox.main()
