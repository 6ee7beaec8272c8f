"""A reader's desk: corrections through the REST API, tried again under the same key, and written down when accepted."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TextIO
from urllib.parse import quote

import httpx

from overread.core.clock import uuid7
from overread.core.corrections import Verdict
from overread.core.errors import Misconfigured, Retryable
from overread.core.pseudonyms import Pseudonyms
from overread.simulation.truth import Json, Row, Section, load, sections

Heard = Callable[[str], None]

PATIENCE = 120.0
"""How long a server may be away (s)."""
FIRST_PATIENCE = 20.0
"""How long one that never answered yet (s): it is more likely the wrong address."""


class Counts(NamedTuple):
    """Accepted corrections by verdict; `stale` (412, somebody else was faster) and `refused` were not accepted."""

    confirmed: int = 0
    rejected: int = 0
    amended: int = 0
    added: int = 0
    unsure: int = 0
    withdrawn: int = 0
    stale: int = 0
    refused: int = 0


class Desk:
    """Sends, tries again under the same key, keeps the record, and knows the truth of every series."""

    def __init__(
        self,
        client: httpx.Client,
        truth: dict[str, list[Row]],
        record: TextIO | None,
        heard: Heard,
        stop: threading.Event,
    ) -> None:
        self._client, self.truth, self._record, self._heard, self.stop = client, truth, record, heard, stop
        self._sections: dict[str, list[Section]] = {}
        self._met = False
        self.tally: Counter[str] = Counter()

    @property
    def counts(self) -> Counts:
        """What was accepted so far."""
        return Counts(**self.tally)

    def find_sections(self, study: str, series: str) -> list[Section]:
        """Return what the truth says of one series."""
        if series not in self._sections:
            manifest = self.get(f"/api/v1/series/{series}") or {"instances": []}
            self._sections[series] = sections(self.truth[study], series, manifest["instances"])
        return self._sections[series]

    def get(self, path: str) -> Any:
        """Return the JSON; None where it is gone."""
        answer = self._request("GET", path)
        return answer.json() if answer is not None and answer.is_success else None

    def say(self, candidate: str, study: str, version: int, verdict: Verdict, place: Json | None) -> int | None:
        """Send one correction; return the candidate's new version, None where it was not accepted."""
        key = uuid7()
        body = {"candidate": candidate, "study": study, "verdict": verdict.value, "place": place}
        answer = self._request(
            "POST", "/api/v1/corrections", json=body, headers={"Idempotency-Key": key, "If-Match": f'"{version}"'}
        )
        if answer is None or (answer.status_code == 409 and verdict is Verdict.ADDED):
            return None  # told to stop; or an addition that a run before this one made
        if not answer.is_success:
            self.tally["stale" if answer.status_code == 412 else "refused"] += 1
            return None
        now = int(answer.json()["version"])
        if self._record is not None:
            line = {"key": key, "verdict": verdict.value, "candidate": candidate, "version": now}
            self._record.write(json.dumps(line) + "\n")
            self._record.flush()
            os.fsync(self._record.fileno())
        self.tally[verdict.value] += 1
        self._heard(verdict.value)
        return now

    def _request(self, method: str, path: str, **more: Any) -> httpx.Response | None:
        """Try until there is an answer; None where `stop` came first."""
        deadline, pause = time.monotonic() + PATIENCE, 0.05
        while True:
            try:
                answer = self._client.request(method, path, **more)
                if answer.status_code != 503:
                    self._met = True
                    return answer
                why = "503"
            except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
                raise Misconfigured(f"{self._client.base_url} is no address of a page: {error}") from error
            except httpx.TransportError as error:
                why = type(error).__name__
            else:
                self._met = True
            if time.monotonic() > (deadline if self._met else deadline - PATIENCE + FIRST_PATIENCE):
                raise Retryable(f"the review room does not answer ({why}); is it running? Start again, nothing is lost")
            if self.stop.wait(pause):
                return None
            pause = min(pause * 2, 2.0)


@contextmanager
def opened(
    url: str,
    truth: Path,
    pseudonyms: Pseudonyms,
    *,
    reader: str,
    record: Path | None,
    on_progress: Heard | None,
    stop: threading.Event | None,
) -> Iterator[Desk]:
    """Open a desk; the record and the connection are closed with it.

    Raises:
        Misconfigured: the truth file can't be read.
    """
    known = load(truth, pseudonyms)
    with ExitStack() as held:
        file = held.enter_context(record.open("a")) if record else None
        client = held.enter_context(
            httpx.Client(base_url=url, timeout=30.0, headers={"Overread-Reader": quote(reader)})
        )
        yield Desk(client, known, file, on_progress or (lambda _: None), stop or threading.Event())
