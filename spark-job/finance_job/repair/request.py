"""Requests to a running job: one file in `data/run` asks for a redrive, another has the answer. The job polls for requests."""

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


class RedriveRequest(msgspec.Struct, frozen=True):
    """A request to redrive the records with a reason; the id names the file of the answer."""

    id: uuid.UUID
    reason: str


class RedriveAnswer(msgspec.Struct, frozen=True):
    """The result: whether the redrive was done, and a sentence."""

    done: bool
    sentence: str


def ask_job(paths: LakePaths, reason: str, wait_seconds: float) -> RedriveAnswer | None:
    """Ask the running job for a redrive. Return None if it does not answer in time; it may still do the redrive later."""
    request = RedriveRequest(uuid.uuid4(), reason)
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


def serve(paths: LakePaths, perform: Callable[[str], RedriveAnswer], log: FilteringBoundLogger) -> None:
    """Answer a pending request, if there is one: `perform` is called with its reason."""
    path = _request(paths)
    try:
        request = msgspec.json.decode(beneath.read(paths.root, path), type=RedriveRequest)
    except FileNotFoundError:
        return
    except (msgspec.MsgspecError, beneath.IrregularError) as error:
        log.warning("removed a request that cannot be read", file=str(path), reason=str(error))
        beneath.remove(paths.root, path)
        return
    # Removed first: a redrive that kills the job must not do so again at each start. The next start completes it.
    beneath.remove(paths.root, path)
    answer = perform(request.reason)
    log.info("redrive", reason=request.reason, done=answer.done, result=answer.sentence)
    beneath.write_whole(paths.root, _answer(paths, request.id), msgspec.json.encode(answer))


def _request(paths: LakePaths) -> Path:
    return paths.root / "run" / "redrive.request"


def _answer(paths: LakePaths, request: uuid.UUID) -> Path:
    return paths.root / "run" / f"redrive-{request}.answer"
