"""What a browser on this machine may do here.

The server listens on the loopback interface only, but every web page that the reader visits can reach that too. So the
guard refuses names that were rebound to 127.0.0.1 (Host) and requests that another page's script sends (Origin), and
tells the browser to run and load nothing that does not come from here (Content-Security-Policy).
"""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from overread.review.problems import Problem

HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]", "testserver"})
"""`testserver` is what Starlette's test client calls itself; no browser can be led to a bare name."""

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """ASGI middleware around the whole app."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI's
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                # Nothing is kept beyond what a route allows: scores and verdicts change under the same address.
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        problem = _object(scope)
        answer: ASGIApp = self._app if problem is None else problem.response()
        await answer(scope, receive, send_guarded)


def _object(scope: Scope) -> Problem | None:
    headers = Headers(scope=scope)
    host = headers.get("host", "").lower()
    name = host[: host.rfind("]") + 1] if host.startswith("[") else host.partition(":")[0]
    if name not in HOSTS:
        return Problem(400, "unknown-host", "this server answers to localhost, 127.0.0.1 and [::1] only")
    origin = headers.get("origin")
    if scope["method"] not in SAFE and origin is not None and origin.lower() != f"{scope['scheme']}://{host}":
        return Problem(403, "cross-origin", "another site's page may not write here")
    return None
