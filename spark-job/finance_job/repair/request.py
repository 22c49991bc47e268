"""Requests to a running job: one file in `data/run` asks for a redrive or to forget, another has the answer. The job polls."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

import msgspec

from finance_role import beneath
from finance_storage import place

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from finance_storage.paths import LakePaths
    from finance_storage.place import Place

POLL_SECONDS = 0.2
LOOK_SECONDS_IN_A_BUCKET = 2.0


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


def ask_job(
    paths: LakePaths, wanted: str | ForgetRequest, wait_seconds: float, taken_seconds: float | None = None
) -> RedriveAnswer | None:
    """Ask the running job for a redrive of a reason, or to forget. None: no answer in time; it may act later.

    With `taken_seconds` a request that no job has taken by then is withdrawn: it seems that none runs.
    """
    request = JobRequest(uuid.uuid4(), wanted) if isinstance(wanted, str) else JobRequest(uuid.uuid4(), forget=wanted)
    place.write_whole(paths.root, _request(paths), msgspec.json.encode(request))
    path = _answer(paths, request.id)
    asked = time.monotonic()
    while time.monotonic() < asked + wait_seconds:
        try:
            answer = msgspec.json.decode(place.read(paths.root, path), type=RedriveAnswer)
        except FileNotFoundError:
            if taken_seconds is not None and time.monotonic() > asked + taken_seconds and place.exists(_request(paths)):
                place.remove(paths.root, _request(paths))
                return None
            time.sleep(POLL_SECONDS)
            continue
        place.remove(paths.root, path)
        return answer
    return None


class Requests:
    """The requests to a running job. In a bucket each look is a request of its own, so the job looks less often there."""

    def __init__(self, paths: LakePaths, log: FilteringBoundLogger) -> None:
        """Look for requests at `paths`."""
        self._paths = paths
        self._log = log
        self._next_look = time.monotonic()

    def serve(self, perform: Callable[[str | ForgetRequest], RedriveAnswer]) -> None:
        """Answer a pending request, if there is one: `perform` gets the reason to redrive, or what to forget."""
        if self._paths.is_in_a_bucket:
            if time.monotonic() < self._next_look:
                return
            self._next_look = time.monotonic() + LOOK_SECONDS_IN_A_BUCKET
        if request := self._taken():
            answer = perform(request.forget or request.reason)
            forget = request.forget
            what = {"source": forget.source, "undo": forget.undo} if forget else {"reason": request.reason}
            self._log.info("forget" if forget else "redrive", **what, done=answer.done, result=answer.sentence)
            place.write_whole(self._paths.root, _answer(self._paths, request.id), msgspec.json.encode(answer))

    def _taken(self) -> JobRequest | None:
        path = _request(self._paths)
        try:
            request = msgspec.json.decode(place.read(self._paths.root, path), type=JobRequest)
        except FileNotFoundError:
            return None
        except (msgspec.MsgspecError, beneath.IrregularError) as error:
            self._log.warning("removed a request that cannot be read", file=str(path), reason=str(error))
            request = None
        # Removed first: a redrive that kills the job must not do so again at each start. The next start completes it.
        place.remove(self._paths.root, path)
        return request


def _request(paths: LakePaths) -> Place:
    return paths.root / "run" / "redrive.request"


def _answer(paths: LakePaths, request: uuid.UUID) -> Place:
    return paths.root / "run" / f"redrive-{request}.answer"
