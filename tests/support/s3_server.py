"""A real S3 server for tests, which they may kill."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from finance_role.environment import composed
from tests.support.stack import ROOT, free_port, wait_until

if TYPE_CHECKING:
    from pathlib import Path

BINARY = ROOT / "build" / "s3" / "versitygw"
BUCKET = "lake"
START_SECONDS = 60


class S3Server:
    """An S3 server on a free port, with its state below a folder; `stop` or a `with` block ends it."""

    def __init__(self, folder: Path) -> None:
        """Start it."""
        assert BINARY.is_file(), f"`make {BINARY.relative_to(ROOT)}` builds the S3 server of the tests"
        self.folder = folder
        self.port = free_port()
        self.credentials_file = folder / "s3-credentials"
        self.credentials_file.write_text("[default]\naws_access_key_id = tester\naws_secret_access_key = not-a-real-secret\n")
        (folder / "s3" / BUCKET).mkdir(parents=True)
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def endpoint(self) -> str:
        """The server's URL."""
        return f"http://127.0.0.1:{self.port}"

    def settings(self, endpoint: str = "", prefix: str = "finance") -> dict[str, str]:
        """Return the settings of a lake in this server, reached at another endpoint if one is given."""
        return {
            "LAKE_URI": f"s3://{BUCKET}/{prefix}",
            "S3_ENDPOINT": endpoint or self.endpoint,
            "S3_CREDENTIALS_FILE": str(self.credentials_file),
        }

    def start(self) -> None:
        """Start it, on the port and the state that it had before; return when it answers."""
        keys = {"ROOT_ACCESS_KEY_ID": "tester", "ROOT_SECRET_ACCESS_KEY": "not-a-real-secret"}
        with (self.folder / "s3.log").open("ab") as log:
            self._process = subprocess.Popen(
                [BINARY, "--port", f"127.0.0.1:{self.port}", "--quiet", "--health", "/health", "posix", self.folder / "s3"],
                env=composed(keys, settings=False),
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        wait_until(self.answers, START_SECONDS, lambda: f"the S3 server answers\n{self.text()[-2000:]}")

    def answers(self) -> bool:
        """Whether it answers; fails if it has ended."""
        process = self._running()
        assert process.poll() is None, f"the S3 server ended with {process.returncode}\n{self.text()[-2000:]}"
        probe = ["curl", "-sf", "--max-time", "5", f"{self.endpoint}/health"]
        return subprocess.run(probe, capture_output=True, check=False).returncode == 0

    def kill(self) -> None:
        """End it with SIGKILL."""
        process = self._running()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self._process = None

    def stop(self) -> None:
        """End it if it runs."""
        if self._process:
            self.kill()

    def text(self) -> str:
        """Return its log."""
        return (self.folder / "s3.log").read_text(errors="replace")

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process, "the S3 server does not run"
        return self._process

    def __enter__(self) -> Self:
        """Return the running server."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()
