"""The routes of the dashboard, as an ASGI application."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from finance_lake.dashboard.feed import CommitFeed
from finance_lake.dashboard.panels import MAX_BARS, MAX_ROWS, Panels
from finance_lake.dashboard.response_cache import BusyError, ResponseCache
from finance_lake.dashboard.security import SecurityMiddleware, error_response
from finance_lake.query.engine import Engine
from finance_lake.query.sql import Cancel
from finance_storage.errors import LakeError, NoLakeError, RequestError, UnreadableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from finance_storage.paths import LakePaths

PAGE = Path(__file__).parent / "page"
LOOPBACK = ("127.0.0.1", "localhost")
MAX_VIEWERS = 200
ENGINE_MEGABYTES = 256
MAX_CONCURRENT_SQL = 2
SQL_WAITING = 8
# Three concurrent answers, two SQL queries and the watcher. Each thread keeps some memory.
THREADS = 6
# As in the file names of a Delta log. Python refuses to parse numbers of more than 4,300 digits.
MAX_NUMBER_DIGITS = 20
NUMBER = re.compile(rf"[0-9]{{1,{MAX_NUMBER_DIGITS}}}")
METHOD_NOT_ALLOWED = 405
# How often a running query looks whether its client is still there.
DISCONNECT_SECONDS = 0.1
# The begin of 2100, at which the contract's times end.
MAX_SECOND = 4_102_444_800


class SqlRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of POST /api/sql."""

    query: str
    as_of: str | int | None = None


class SlotResponse(Response):
    """A response that releases a slot once it is sent or the client has disconnected."""

    def __init__(self, body: bytes, slot: AsyncExitStack, *, media_type: str, headers: dict[str, str]) -> None:
        """Set the body, and the slot to release."""
        super().__init__(body, media_type=media_type, headers=headers)
        self._slot = slot

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response, then release the slot."""
        async with self._slot:
            await super().__call__(scope, receive, send)


class Dashboard:
    """The dashboard of one lake. `app` is the ASGI application."""

    def __init__(self, paths: LakePaths, hosts: Sequence[str] = LOOPBACK) -> None:
        """Create the application; nothing is read before the server starts. `hosts` are the accepted host names."""
        engine = Engine(ENGINE_MEGABYTES)
        self.panels = Panels(paths, engine)
        self.feed = CommitFeed(paths, engine, self.panels.status)
        self._answers = ResponseCache()
        self._sql = ResponseCache(MAX_CONCURRENT_SQL, SQL_WAITING)
        self.app = Starlette(
            routes=[Mount("/api", routes=self._routes()), Mount("/", StaticFiles(directory=PAGE, html=True))],
            middleware=[
                Middleware(SecurityMiddleware),
                Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False),
            ],
            exception_handlers={LakeError: _explained, BusyError: _busy, HTTPException: _no_address, Exception: _failed},
            lifespan=self._lifespan,
        )

    def _routes(self) -> list[Route]:
        return [
            Route("/health", self.health),
            Route("/status", self.status),
            Route("/bars", self.bars),
            Route("/latest", self.latest),
            Route("/sparklines", self.sparklines),
            Route("/history", self.history),
            Route("/quarantine", self.quarantine),
            Route("/schema", self.schema),
            Route("/sql", self.sql, methods=["POST"]),
            Route("/events", self.events),
        ]

    async def health(self, _request: Request) -> Response:
        """Answer GET /api/health with `ok`."""
        return PlainTextResponse("ok")

    async def status(self, request: Request) -> Response:
        """Answer GET /api/status, with `as_of`."""
        return await self._answer(request, partial(self.panels.status), keep=False)

    async def bars(self, request: Request) -> Response:
        """Answer GET /api/bars, with `symbol`, `size`, `as_of`, `limit`, and `before` or `begin` in seconds since 1970."""
        symbol, size = request.query_params.get("symbol", ""), request.query_params.get("size", "1m")
        span, limit = (_second(request, "begin"), _second(request, "before")), _limit(request, 500, MAX_BARS)
        return await self._answer(request, partial(self.panels.bars, symbol, size, limit=limit, span=span))

    async def latest(self, request: Request) -> Response:
        """Answer GET /api/latest, with `as_of`."""
        return await self._answer(request, partial(self.panels.latest))

    async def sparklines(self, request: Request) -> Response:
        """Answer GET /api/sparklines, with `symbol` for each symbol, and `as_of`."""
        symbols = tuple(request.query_params.getlist("symbol"))
        return await self._answer(request, partial(self.panels.sparklines, symbols))

    async def history(self, request: Request) -> Response:
        """Answer GET /api/history, with `limit` and `as_of`."""
        return await self._answer(request, partial(self.panels.history, _limit(request, 50, MAX_ROWS)))

    async def quarantine(self, request: Request) -> Response:
        """Answer GET /api/quarantine, with `reason`, `limit` and `as_of`."""
        reason = request.query_params.get("reason") or None
        panel = partial(self.panels.quarantine, reason, _limit(request, 100, MAX_ROWS))
        return await self._answer(request, panel, keep=False)

    async def schema(self, request: Request) -> Response:
        """Answer GET /api/schema, with `as_of`."""
        return await self._answer(request, partial(self.panels.schema))

    async def sql(self, request: Request) -> Response:
        """Answer POST /api/sql with {"query": ..., "as_of": ...}; CSV where ?format=csv or the Accept header asks for it."""
        # Browsers send this content type across origins only after a CORS preflight, which is never granted.
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return error_response("Send the query as application/json.", 415)
        try:
            body = msgspec.json.decode(await request.body(), type=SqlRequest)
        except msgspec.MsgspecError as error:
            return error_response(f'The body must be like {{"query": "SELECT ...", "as_of": 12}}: {error}.', 400)
        as_of = None if body.as_of is None else str(body.as_of)
        accepts, cancel = request.headers.get("accept", ""), Cancel()
        if request.query_params.get("format") == "csv" or accepts.startswith("text/csv"):
            panel, media_type = partial(self.panels.sql_csv, body.query, as_of, cancel), "text/csv; charset=utf-8"
            headers = {"content-disposition": 'attachment; filename="financelake.csv"'}
        else:
            panel, media_type, headers = partial(self.panels.sql, body.query, as_of, cancel), "application/json", {}
        # Answers can be large. The slot is held until the response is sent, which bounds the answers in memory.
        slot = AsyncExitStack()
        async with AsyncExitStack() as until_answered:
            await until_answered.enter_async_context(self._sql.slot())
            answer = await _unless_disconnected(request, panel, cancel)
            slot = until_answered.pop_all()
        return SlotResponse(answer, slot, media_type=media_type, headers=headers)

    async def events(self, request: Request) -> Response:
        """Answer GET /api/events, with `lake` and `after`, as server-sent events. Last-Event-ID overrides `after`."""
        if self.feed.viewers >= MAX_VIEWERS:
            return error_response(f"All {MAX_VIEWERS} viewer connections are in use: try again later.", 503)
        after = request.headers.get("last-event-id") or request.query_params.get("after")
        if after is not None and not NUMBER.fullmatch(after):
            raise RequestError(f"after={after[:MAX_NUMBER_DIGITS]!r} is not a version.")
        messages = self.feed.messages(request.query_params.get("lake"), None if after is None else int(after))
        headers = {"x-accel-buffering": "no"}
        return StreamingResponse(messages, media_type="text/event-stream", headers=headers)

    async def _answer(self, request: Request, panel: partial[dict[str, Any]], *, keep: bool = True) -> Response:
        compute = partial(panel, as_of=request.query_params.get("as_of") or None)
        if keep:
            question = (self.feed.lake, self.feed.newest, compute.func, compute.args, tuple(compute.keywords.items()))
            body = await self._answers.of(question, compute)
        else:
            body = await self._answers.fresh(lambda: msgspec.json.encode(compute()))
        return Response(body, media_type="application/json")

    async def _warm(self) -> None:
        """Read the latest ticks before the first viewer asks for them."""
        with suppress(LakeError):
            await asyncio.to_thread(self.panels.latest)

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS, "reading"))
        watcher = asyncio.create_task(self.feed.watch())
        warming = asyncio.create_task(self._warm())
        try:
            yield
        finally:
            for task in (watcher, warming):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            self.panels.close()


async def _unless_disconnected(request: Request, panel: Callable[[], bytes], cancel: Cancel) -> bytes:
    """Return what a panel returns; cancel its query once the client has disconnected, as the page does to cancel."""
    running = asyncio.create_task(asyncio.to_thread(panel))
    while not running.done():
        await asyncio.wait({running}, timeout=DISCONNECT_SECONDS)
        if not running.done() and await request.is_disconnected():
            cancel()
    return await running


def _second(request: Request, name: str) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    if not NUMBER.fullmatch(text) or int(text) > MAX_SECOND:
        raise RequestError(f"{name}={text[:MAX_NUMBER_DIGITS]!r} is not a time in seconds since 1970.")
    return int(text)


def _limit(request: Request, usual: int, most: int) -> int:
    text = request.query_params.get("limit", str(usual))
    if not (NUMBER.fullmatch(text) and 0 < int(text) <= most):
        raise RequestError(f"limit={text!r} is not a number from 1 to {most:,}.")
    return int(text)


def _explained(_request: Request, error: Exception) -> Response:
    status = 404 if isinstance(error, NoLakeError) else 500 if isinstance(error, UnreadableError) else 400
    return error_response(str(error), status)


def _no_address(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 (for mypy: Starlette calls it with nothing else)
    reason = f"{request.method} is not allowed here" if error.status_code == METHOD_NOT_ALLOWED else "There is no such address"
    response = error_response(f"{reason}: {request.url.path}", error.status_code)
    response.headers.update(error.headers or {})
    return response


def _failed(_request: Request, _error: Exception) -> Response:
    return error_response("The request has failed: the dashboard's terminal shows the error.", 500)


def _busy(_request: Request, _error: Exception) -> Response:
    response = error_response("Too many requests at once: try again in a moment.", 503)
    response.headers["retry-after"] = "1"
    return response
