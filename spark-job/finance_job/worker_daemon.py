"""Start Python workers with the installed PySpark: Spark runs `python -m finance_job.worker_daemon pyspark.worker`.

Spark puts a copy of PySpark first on their path: a zip file of sources, which Python compiles anew in the daemon and in each
worker. That delays the first micro-batch. Without it they find the same version beside this package, compiled once.
"""

from __future__ import annotations

import sys
from pathlib import Path

COPIES = Path("python", "lib")  # below Spark's home


def main() -> None:
    """Run PySpark's daemon, which forks a worker for each task that runs at the same time."""
    sys.path[:] = [entry for entry in sys.path if Path(entry).parts[-3:-1] != COPIES.parts]
    from pyspark.daemon import manager  # noqa: PLC0415 (only now does Python find the installed one)

    manager()


if __name__ == "__main__":
    main()
