"""Security headers for every response, and checks that every request must pass."""

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
    # Nothing from other origins, nothing inline, and no HTML from strings.
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


class SecurityMiddleware:
    """ASGI middleware: adds security headers to every response; refuses pages of other origins and oversized requests."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def in_pieces(message: Message) -> None:
            """Send a body in pieces, each waiting for the client: a whole body would be buffered in the connection."""
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
                    headers["cache-control"] = "no-cache"  # revalidated each time, with 304 if unchanged
            await in_pieces(message)

        if refusal := refused(scope):
            await refusal(scope, receive, with_headers)
            return
        with suppress(ClientDisconnect):  # no response is needed, and no traceback
            await self._app(scope, receive, with_headers)


def refused(scope: Scope) -> JSONResponse | None:
    """Return a refusal for requests from another site's page and for oversized ones; None for all others."""
    headers = Headers(scope=scope)
    if len(scope["query_string"]) > MAX_QUERY_STRING_BYTES:
        return error_response("The address is too long.", 414)
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length) > MAX_BODY_BYTES or "transfer-encoding" in headers:
        return error_response(f"A request body needs a Content-Length of at most {MAX_BODY_BYTES // 1024} KiB.", 413)
    # Browsers send this header; other programs need not.
    if scope["path"].startswith("/api/") and headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return error_response("Requests from pages of other sites are refused.", 403)
    return None


def error_response(text: str, status: int) -> JSONResponse:
    """Return an error response."""
    return JSONResponse({"error": text}, status_code=status)
