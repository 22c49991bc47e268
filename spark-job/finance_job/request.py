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

    from finance_lake.state.layout import Layout

POLL_SECONDS = 0.2


class Request(msgspec.Struct, frozen=True):
    """Ask for a redrive of a reason; the id, a UUID, names the answer."""

    id: uuid.UUID
    reason: str


class Answer(msgspec.Struct, frozen=True):
    """What came of it: a sentence, and whether it was done."""

    done: bool
    sentence: str


def ask_job(layout: Layout, reason: str, wait_seconds: float) -> Answer | None:
    """Ask the running job; None if it has not answered in time (it may do so later)."""
    request = Request(uuid.uuid4(), reason)
    beneath.write_whole(layout.root, _request(layout), msgspec.json.encode(request))
    answer = _answer(layout, request.id)
    deadline = time.monotonic() + wait_seconds
    while time.monotonic() < deadline:
        try:
            given = msgspec.json.decode(beneath.read(layout.root, answer), type=Answer)
        except FileNotFoundError:
            time.sleep(POLL_SECONDS)
            continue
        beneath.remove(layout.root, answer)
        return given
    return None


def serve(layout: Layout, perform: Callable[[str], Answer], log: FilteringBoundLogger) -> None:
    """Do what is asked for, if anything is: `perform` is given the reason."""
    path = _request(layout)
    try:
        request = msgspec.json.decode(beneath.read(layout.root, path), type=Request)
    except FileNotFoundError:
        return
    except (msgspec.MsgspecError, beneath.IrregularError) as error:
        log.warning("a request that cannot be read is put away", file=str(path), reason=str(error))
        beneath.remove(layout.root, path)
        return
    # Gone before it is done: a redrive that kills the job must not do so again at each start; the start completes it.
    beneath.remove(layout.root, path)
    answer = perform(request.reason)
    log.info("redrive", reason=request.reason, done=answer.done, result=answer.sentence)
    beneath.write_whole(layout.root, _answer(layout, request.id), msgspec.json.encode(answer))


def _request(layout: Layout) -> Path:
    return layout.root / "run" / "redrive.request"


def _answer(layout: Layout, request: uuid.UUID) -> Path:
    return layout.root / "run" / f"redrive-{request}.answer"
