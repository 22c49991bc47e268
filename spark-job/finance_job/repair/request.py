"""Requests to a running job: one file in `data/run` asks for a redrive, another answers. The job looks between two batches."""

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
    """Ask for a redrive of a reason; the id, a UUID, names the answer."""

    id: uuid.UUID
    reason: str


class RedriveAnswer(msgspec.Struct, frozen=True):
    """What came of it: a sentence, and whether it was done."""

    done: bool
    sentence: str


def ask_job(paths: LakePaths, reason: str, wait_seconds: float) -> RedriveAnswer | None:
    """Ask the running job; None if it has not answered in time (it may do so later)."""
    request = RedriveRequest(uuid.uuid4(), reason)
    beneath.write_whole(paths.root, _request(paths), msgspec.json.encode(request))
    answer = _answer(paths, request.id)
    deadline = time.monotonic() + wait_seconds
    while time.monotonic() < deadline:
        try:
            given = msgspec.json.decode(beneath.read(paths.root, answer), type=RedriveAnswer)
        except FileNotFoundError:
            time.sleep(POLL_SECONDS)
            continue
        beneath.remove(paths.root, answer)
        return given
    return None


def serve(paths: LakePaths, perform: Callable[[str], RedriveAnswer], log: FilteringBoundLogger) -> None:
    """Do what is asked for, if anything is: `perform` is given the reason."""
    path = _request(paths)
    try:
        request = msgspec.json.decode(beneath.read(paths.root, path), type=RedriveRequest)
    except FileNotFoundError:
        return
    except (msgspec.MsgspecError, beneath.IrregularError) as error:
        log.warning("a request that cannot be read is put away", file=str(path), reason=str(error))
        beneath.remove(paths.root, path)
        return
    # Gone before it is done: a redrive that kills the job must not do so again at each start; the start completes it.
    beneath.remove(paths.root, path)
    answer = perform(request.reason)
    log.info("redrive", reason=request.reason, done=answer.done, result=answer.sentence)
    beneath.write_whole(paths.root, _answer(paths, request.id), msgspec.json.encode(answer))


def _request(paths: LakePaths) -> Path:
    return paths.root / "run" / "redrive.request"


def _answer(paths: LakePaths, request: uuid.UUID) -> Path:
    return paths.root / "run" / f"redrive-{request}.answer"
