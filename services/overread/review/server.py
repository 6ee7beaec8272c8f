"""The web server of the room, on a thread of its own."""

from __future__ import annotations

import socket
import threading
import time

import uvicorn
from fastapi import FastAPI

from overread.core.errors import Misconfigured

START_SECONDS = 10.0


class ReviewServer:
    """Serves the app on one address. Port 0 takes a free one; `port` says which once `start` has returned."""

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        self._host, self.port = host, port
        config = uvicorn.Config(
            app,
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
        self._server = uvicorn.Server(config)
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Return when the server listens.

        Raises:
            Misconfigured: the address is taken, or is none of this machine's.
        """
        try:
            family = socket.getaddrinfo(self._host, self.port, type=socket.SOCK_STREAM)[0][0]
            listener = socket.create_server((self._host, self.port), family=family, backlog=128)
            # Without it an answer in two writes waits 40 ms for the client's delayed acknowledgement.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            raise Misconfigured(
                f"review: {self._host}:{self.port} can't be listened on ({error.strerror}); choose another review.port"
            ) from error
        self.port = int(listener.getsockname()[1])
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name="review-http", daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                listener.close()
                raise Misconfigured(f"review: the web server did not start on {self._host}:{self.port}")
            time.sleep(0.01)

    def close(self) -> None:
        """Finish the requests in hand and stop."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join()
            self._thread = None
