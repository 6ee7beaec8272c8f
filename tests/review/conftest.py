"""A review room with a real store, bus and app; only the pixels are made up."""

from __future__ import annotations

import shutil
import uuid
import warnings
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from httpx import Response
from numpy.typing import NDArray
from playwright.sync_api import Browser, sync_playwright
from sqlalchemy import Table, select

from overread import topology
from overread.bus.embedded import EmbeddedBus
from overread.config import Review
from overread.core.codec import Envelope, decode
from overread.core.errors import Undecodable
from overread.core.events import CandidateReceived, CandidateScored, Event, Place, Purpose, ReadRequested, Source
from overread.core.series import SeriesManifest, Slice
from overread.core.splits import Split
from overread.review.routes import create_app
from overread.review.verdicts import Judge, Restore
from overread.review.worklist import Ask, Forget, List, Show
from overread.store import deliveries
from overread.store.blobs import Blobs
from overread.store.engine import Store
from overread.store.tables import outbox

with warnings.catch_warnings():  # Starlette would rather have httpx's successor; Overread speaks httpx
    warnings.simplefilter("ignore")
    from fastapi.testclient import TestClient

QUIET = ("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
MORE = ("--no-sandbox", "--disable-component-update", "--disable-sync")

ROWS, COLUMNS, SLICES = 60, 80, 5


class FakeSlices:
    """`pacs.slices.Slices` without DICOM: real manifests in real blobs, pixels by blob name."""

    def __init__(self, blobs: Blobs) -> None:
        self.blobs = blobs
        self.arrays: dict[str, NDArray[Any]] = {}

    def manifest(self, key: str) -> SeriesManifest:
        return SeriesManifest.model_validate_json(self.blobs.get(key))

    def pixels(self, slice: Slice) -> NDArray[Any]:  # noqa: A002
        array = self.arrays.get(slice.blob)
        if array is None:
            raise FileNotFoundError(slice.blob)
        if array.size == 0:
            raise Undecodable("truncated")
        return array

    def window(self, slice: Slice) -> tuple[float, float]:  # noqa: A002
        del slice
        return -600.0, 1500.0

    def make(
        self, name: str, *, rows: int = ROWS, columns: int = COLUMNS, slices: int = SLICES, modality: str = "CT"
    ) -> str:
        """A series whose slices are dark ramps; returns the manifest's key."""
        parts = []
        for number in range(slices):
            blob = f"{name}-{number}"
            ramp = np.arange(rows * columns, dtype=np.int16).reshape(rows, columns) % 100 - 900 + 10 * number
            self.arrays[blob] = ramp.astype(np.int16)
            parts.append(Slice(instance=f"i-{name}-{number}", blob=blob))
        manifest = SeriesManifest(
            series=f"e-{name}",
            modality=modality,
            rows=rows,
            columns=columns,
            spacing_mm=0.7,
            stack=True,
            slices=tuple(parts),
        )
        return self.blobs.put(manifest.model_dump_json().encode())


class Room:
    def __init__(self, store: Store, slices: FakeSlices) -> None:
        self.store, self.slices = store, slices
        self.bus = EmbeddedBus(store, {name: topic.partitions for name, topic in topology.TOPICS.items()})
        self.app = create_app(store, self.bus.append, slices, Review())
        self.client = TestClient(self.app, raise_server_exceptions=False)
        self.series = slices.make("one")
        handlers = (List(), Show(), Ask(), Forget(), Judge(slices), Restore())
        self.handlers = {handler.consumes: handler for handler in handlers}

    def hear(self, event: Event, *, key: str | None = None, time: datetime | None = None) -> Sequence[Event]:
        """What the worker does with one event."""
        envelope = Envelope(event, "test", key or str(uuid.uuid4()), time or datetime.now(UTC))
        handler: Any = self.handlers[type(event)]
        prepared = handler.prepare(envelope)
        with self.store.writing() as tx:
            if not deliveries.first_time(tx, "review", envelope.entry):
                return ()
            follows: Sequence[Event] = handler.apply(tx, envelope, prepared)
            self.bus.append(tx, [Envelope(one, "review").record() for one in follows])
        return follows

    def receive(self, candidate: str, **more: Any) -> None:
        self.hear(self.candidate(candidate, **more))

    def candidate(self, candidate: str, study: str = "s-1", **more: Any) -> CandidateReceived:
        place = {"series": self.series, "slice": 2, "x": 30.0, "y": 20.0} | more.pop("place", {})
        said = {
            "patient": "p-1",
            "split": Split.TRAIN,
            "site": "SITE",
            "application": "lung-nodule",
            "source": Source.GENERATOR,
            "producer": "log 1",
            "radius_px": 6.0,
        }
        return CandidateReceived(candidate=candidate, study=study, place=Place(**place), **(said | more))

    def score(self, candidate: str, probability: float, *, version: int = 1, cleared: bool = True, **more: Any) -> None:
        event = CandidateScored(
            candidate=candidate,
            study="s-1",
            split=Split.TRAIN,
            logits=((0.0, 1.0),),
            probability=probability,
            version=version,
            model=f"{version:064x}",
            provider="CPUExecutionProvider",
            precision="float32",
            cleared=cleared,
        )
        self.hear(event, **more)

    def ask(
        self,
        candidate: str,
        rank: int = 0,
        purpose: Purpose = Purpose.ACQUISITION,
        round: int = 1,  # noqa: A002
        study: str = "s-1",
    ) -> None:
        self.hear(ReadRequested(candidate=candidate, study=study, purpose=purpose, round=round, rank=rank))

    def post(self, candidate: str, verdict: str, version: int = 0, **more: Any) -> Response:
        headers = {"Idempotency-Key": more.pop("key", str(uuid.uuid4())), "If-Match": f'"{version}"'}
        if "reader" in more:
            headers["Overread-Reader"] = more.pop("reader")
        body = {"candidate": candidate, "study": "s-1", "verdict": verdict} | more
        answer: Response = self.client.post("/api/v1/corrections", json=body, headers=headers)
        return answer

    def place(self, **more: Any) -> dict[str, Any]:
        return {"series": self.series, "slice": 2, "x": 33.0, "y": 22.0} | more

    def get(self, path: str) -> Any:
        answer = self.client.get(f"/api/v1/{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def waiting(self) -> list[str]:
        return [item["candidate"] for item in self.get("worklist")["items"]]

    def said(self) -> list[Envelope[Event]]:
        with self.store.reading() as tx:
            rows = tx.execute(select(outbox).order_by(outbox.c.id)).all()
        return [decode({name: value.encode() for name, value in row.headers.items()}, row.value) for row in rows]

    def rows(self, table: Table) -> list[dict[str, Any]]:
        with self.store.reading() as tx:
            return [dict(row._mapping) for row in tx.execute(select(table).order_by(*table.primary_key.columns))]


@pytest.fixture
def slices(tmp_path: Any) -> FakeSlices:
    return FakeSlices(Blobs(str(tmp_path / "blobs")))


@pytest.fixture
def room(store: Store, slices: FakeSlices) -> Iterator[Room]:
    made = Room(store, slices)
    with made.client:
        yield made


@pytest.fixture(scope="module")  # its event loop must not outlive the module: others need one of their own
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=[*QUIET, *MORE])
        yield chromium
        chromium.close()
