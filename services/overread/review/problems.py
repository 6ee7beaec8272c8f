"""Errors over HTTP: `application/problem+json` (RFC 9457), whatever goes wrong and wherever."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from overread.core.errors import Retryable, Undecodable
from overread.core.events import Refusal

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = "2"
"""Seconds after which a client may ask again where the database was away."""

STATUS = {
    Refusal.UNKNOWN_CANDIDATE: 404,
    Refusal.ALREADY_EXISTS: 409,
    Refusal.NOTHING_TO_WITHDRAW: 409,
    Refusal.WRONG_STUDY: 409,
    Refusal.STALE_VERSION: 412,
    Refusal.PLACE_MISSING: 422,
    Refusal.OUTSIDE_IMAGE: 422,
}
"""How a refusal is answered."""


class Problem(Exception):
    """Ends a request. `kind` is the last part of the problem's type; `more` becomes members beside the detail."""

    def __init__(
        self, status: int, kind: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail = status, kind, detail
        self.headers, self.more = dict(headers or {}), more

    def body(self) -> dict[str, Any]:
        """Return the JSON document."""
        title = self.kind.replace("-", " ").capitalize()
        return {
            "type": f"urn:overread:problem:{self.kind}",
            "title": title,
            "status": self.status,
            "detail": self.detail,
            **self.more,
        }

    def response(self) -> JSONResponse:
        """Return the answer."""
        return JSONResponse(self.body(), self.status, self.headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer every error of the app as a problem."""

    def problem(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Problem)  # noqa: S101 - registered for it
        return error.response()

    def malformed(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)  # noqa: S101
        # Where and what; the input is not repeated.
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc'][1:]) or fault['loc'][0]}: {fault['msg']}"
            for fault in error.errors()
        )
        return Problem(422, "malformed", faults).response()

    def standard(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)  # noqa: S101
        return Problem(error.status_code, "http", str(error.detail), headers=error.headers).response()

    def away(_request: Request, error: Exception) -> JSONResponse:
        detail = str(error) if isinstance(error, Retryable) else "all connections to the database are in use"
        return Problem(503, "unavailable", detail, headers={"Retry-After": RETRY_AFTER}).response()

    def unreadable(_request: Request, error: Exception) -> JSONResponse:
        return Problem(500, "undecodable", f"what is stored can't be read as an image: {error}").response()

    app.add_exception_handler(Problem, problem)
    app.add_exception_handler(RequestValidationError, malformed)
    app.add_exception_handler(HTTPException, standard)
    app.add_exception_handler(Retryable, away)
    app.add_exception_handler(PoolTimeout, away)
    app.add_exception_handler(Undecodable, unreadable)
