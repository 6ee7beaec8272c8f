"""The REST API and the reader's page, as one FastAPI app. The running room serves `/openapi.json`.

Routes are plain functions: FastAPI runs them on threads, as everything else in Overread runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import FastAPI, Header, Query, Response
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from overread.config import Review
from overread.core.clock import Clock, utc_now
from overread.core.events import Purpose
from overread.handler import Outbox
from overread.review import problems, schemas, views
from overread.review.guard import Guard
from overread.review.images import Pixels, add_images
from overread.review.problems import MEDIA_TYPE, Problem
from overread.review.submit import Submit
from overread.store.engine import Store

PAGE = Path(__file__).parent / "page"
_PROBLEM: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "Problem (RFC 9457)", "content": {MEDIA_TYPE: {}}},
    "503": {"description": "The database is away; try again after Retry-After", "content": {MEDIA_TYPE: {}}},
}


def create_app(store: Store, outbox: Outbox, slices: Pixels, settings: Review, clock: Clock = utc_now) -> FastAPI:
    """Build the app.

    Args:
        store: where the room's tables are.
        outbox: publishes inside the store's transaction.
        slices: manifests and decoded pixels.
        settings: the room's section.
        clock: when a click happens.
    """
    app = FastAPI(
        title="Overread review",
        version="1",
        description="Worklist, candidates, images, corrections.",
        docs_url=None,
        redoc_url=None,
        responses=_PROBLEM,
    )  # FastAPI's own documentation pages load scripts from elsewhere
    problems.install(app)
    app.add_middleware(Guard)
    _add_lists(app, store)
    add_images(app, store, slices)
    submit = Submit(store, outbox, slices, settings, clock)

    @app.post("/api/v1/corrections", status_code=201, response_model=schemas.Corrected)
    def correct(
        body: schemas.Correction,
        idempotency_key: Annotated[str | None, Header()] = None,
        if_match: Annotated[str | None, Header()] = None,
        overread_reader: Annotated[str | None, Header()] = None,
    ) -> Response:
        """Take one correction: once for each Idempotency-Key, and only of the version in If-Match."""
        answer = submit(
            body, key=idempotency_key, if_match=if_match, reader=overread_reader and unquote(overread_reader)
        )
        headers = {"Idempotency-Replayed": "true"} if answer.replayed else {}
        if answer.status != 201:
            return JSONResponse(answer.body, answer.status, headers, MEDIA_TYPE)
        headers["ETag"] = f'"{answer.body["version"]}"'
        return JSONResponse(answer.body, 201, headers)

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(PAGE / "index.html", headers={"Cache-Control": "no-cache"})

    app.mount("/page", StaticFiles(directory=PAGE), name="page")
    return app


def _add_lists(app: FastAPI, store: Store) -> None:
    @app.get("/api/v1/worklist")
    def worklist(limit: Annotated[int, Query(ge=1, le=500)] = 50, purpose: Purpose | None = None) -> schemas.Worklist:
        """Return the reads that wait, in reading order."""
        with store.reading() as tx:
            return views.see_worklist(tx, limit, purpose)

    @app.get("/api/v1/candidates/{candidate}")
    def candidate(candidate: str, response: Response) -> schemas.CandidateWithVerdicts:
        """Return a candidate with every verdict; its version is the ETag."""
        with store.reading() as tx:
            found = views.see_candidate(tx, candidate)
        if found is None:
            raise Problem(404, "unknown-candidate", "no such candidate is known here (not arrived, or purged)")
        response.headers["ETag"] = f'"{found.version}"'
        return found

    @app.get("/api/v1/studies/{study}")
    def study(study: str) -> schemas.Study:
        """Return a study's candidates and series."""
        with store.reading() as tx:
            found = views.see_study(tx, study)
        if found is None:
            raise Problem(404, "unknown-study", "no candidate of such a study is known here (not arrived, or purged)")
        return found

    @app.get("/api/v1/status")
    def status() -> schemas.Status:
        """Return the serving model, the ledger's counts and what waits."""
        with store.reading() as tx:
            return views.see_status(tx)
