"""Requests to a running job: one file in `data/run` asks for a redrive or to forget, another has the answer. The job polls."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

import msgspec

from finance_role import beneath

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from finance_storage.paths import LakePaths

POLL_SECONDS = 0.2


class ForgetRequest(msgspec.Struct, frozen=True):
    """A request to forget a source, or to undo that."""

    source: str
    undo: bool = False


class JobRequest(msgspec.Struct, frozen=True):
    """A request to the job; the id names the file of the answer. An older job knows only `reason`."""

    id: uuid.UUID
    reason: str = ""
    forget: ForgetRequest | None = None


class RedriveAnswer(msgspec.Struct, frozen=True):
    """The result: whether the redrive was done, and a sentence."""

    done: bool
    sentence: str


def ask_job(paths: LakePaths, wanted: str | ForgetRequest, wait_seconds: float) -> RedriveAnswer | None:
    """Ask the running job for a redrive of a reason, or to forget. None: no answer in time; it may act later."""
    request = JobRequest(uuid.uuid4(), wanted) if isinstance(wanted, str) else JobRequest(uuid.uuid4(), forget=wanted)
    beneath.write_whole(paths.root, _request(paths), msgspec.json.encode(request))
    path = _answer(paths, request.id)
    deadline = time.monotonic() + wait_seconds
    while time.monotonic() < deadline:
        try:
            answer = msgspec.json.decode(beneath.read(paths.root, path), type=RedriveAnswer)
        except FileNotFoundError:
            time.sleep(POLL_SECONDS)
            continue
        beneath.remove(paths.root, path)
        return answer
    return None


def serve(paths: LakePaths, perform: Callable[[str | ForgetRequest], RedriveAnswer], log: FilteringBoundLogger) -> None:
    """Answer a pending request, if there is one: `perform` is called with the reason to redrive, or with what to forget."""
    path = _request(paths)
    try:
        request = msgspec.json.decode(beneath.read(paths.root, path), type=JobRequest)
    except FileNotFoundError:
        return
    except (msgspec.MsgspecError, beneath.IrregularError) as error:
        log.warning("removed a request that cannot be read", file=str(path), reason=str(error))
        beneath.remove(paths.root, path)
        return
    # Removed first: a redrive that kills the job must not do so again at each start. The next start completes it.
    beneath.remove(paths.root, path)
    answer = perform(request.forget or request.reason)
    what = {"source": request.forget.source, "undo": request.forget.undo} if request.forget else {"reason": request.reason}
    log.info("forget" if request.forget else "redrive", **what, done=answer.done, result=answer.sentence)
    beneath.write_whole(paths.root, _answer(paths, request.id), msgspec.json.encode(answer))


def _request(paths: LakePaths) -> Path:
    return paths.root / "run" / "redrive.request"


def _answer(paths: LakePaths, request: uuid.UUID) -> Path:
    return paths.root / "run" / f"redrive-{request}.answer"
