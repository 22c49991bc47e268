"""Check that a master of a Spark cluster is active, or that a worker has found its master.

    python -m finance_role.probe_spark HOST PORT

PORT is that of its user interface. Standard library only, so that a probe starts quickly.
"""

from __future__ import annotations

import json
import sys
from typing import Any
from urllib.request import urlopen

ANSWER_SECONDS = 3


def works(state: dict[str, Any]) -> bool:
    """Return whether a state, as /json/ returns it, is that of an active master or of a registered worker."""
    return state.get("status") == "ALIVE" if "workers" in state else bool(state.get("masterwebuiurl"))


def main() -> int:
    """Exit with 0 if the process at HOST and PORT works."""
    host, port = sys.argv[1:]
    with urlopen(f"http://{host}:{port}/json/", timeout=ANSWER_SECONDS) as answer:
        return 0 if works(json.load(answer)) else 1


if __name__ == "__main__":
    sys.exit(main())
