"""Each room's own port: `/healthz` (alive), `/readyz` (able to work, or why not), `/metrics` (Prometheus)."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

Ready = Callable[[], str | None]
"""Returns None when ready, else why not."""


class HealthServer:
    """Serves on a thread of its own until closed. Port 0 takes a free one; `port` says which."""

    def __init__(self, host: str, port: int, ready: Ready) -> None:
        class Page(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                reason = None
                if self.path == "/metrics":
                    status, kind, body = 200, CONTENT_TYPE_LATEST, generate_latest()
                elif self.path in {"/healthz", "/readyz"}:
                    reason = ready() if self.path == "/readyz" else None
                    status, kind = (503 if reason else 200), "application/json"
                    body = json.dumps({"status": reason or "ok"}).encode()
                else:
                    status, kind, body = 404, "application/json", b'{"status": "ask /healthz, /readyz or /metrics"}'
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
                """Scrapes are not worth a log line."""

        self._server = ThreadingHTTPServer((host, port), Page)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
