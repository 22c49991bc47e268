"""What every answer carries and every request has to pass, before anything is read."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 64 * 1024
MAX_QUERY_STRING_BYTES = 4 * 1024
PIECE_BYTES = 64 * 1024
HEADERS = {
    # Nothing from elsewhere, nothing inline, no HTML made of text.
    "content-security-policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class Guards:
    """ASGI middleware: security headers on every answer; pages of other origins and oversized requests are refused."""

    def __init__(self, app: ASGIApp) -> None:
        """Stand before an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def in_pieces(message: Message) -> None:
            """Send a body in pieces, each of which waits for the reader: a whole one would lie in the connection's buffer."""
            body = message.get("body", b"")
            if message["type"] != "http.response.body" or len(body) <= PIECE_BYTES:
                await send(message)
                return
            view, last = memoryview(body), (len(body) - 1) // PIECE_BYTES * PIECE_BYTES
            for start in range(0, len(body), PIECE_BYTES):
                more = start < last or message.get("more_body", False)
                await send({**message, "body": bytes(view[start : start + PIECE_BYTES]), "more_body": more})

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if scope["path"].startswith("/api/"):
                    headers.setdefault("cache-control", "no-store")
                else:
                    headers["cache-control"] = "no-cache"  # asked for again, answered 304 where nothing has changed
            await in_pieces(message)

        if refusal := refused(scope):
            await refusal(scope, receive, with_headers)
            return
        with suppress(ClientDisconnect):  # who has gone away needs no answer, and whoever runs this no traceback
            await self._app(scope, receive, with_headers)


def refused(scope: Scope) -> JSONResponse | None:
    """Refuse what another site's page asks for, and what is too large to be a question."""
    headers = Headers(scope=scope)
    if len(scope["query_string"]) > MAX_QUERY_STRING_BYTES:
        return sentence("The address is too long.", 414)
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length) > MAX_BODY_BYTES or "transfer-encoding" in headers:
        return sentence(f"A request may have {MAX_BODY_BYTES // 1024} KiB, with its length told.", 413)
    # A browser tells where a request comes from; programs do not, and need not.
    if scope["path"].startswith("/api/") and headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return sentence("Pages of other sites get no answer here.", 403)
    return None


def sentence(text: str, status: int) -> JSONResponse:
    """Say what is wrong."""
    return JSONResponse({"error": text}, status_code=status)
