"""A simulated radiologist: reads the worklist by a truth file, through the same REST API as the page.

It makes mistakes at a given rate and takes some of them back, so that every verdict occurs. Which candidates it errs on
depends on the seed and the candidate alone, not on the order of reading.
"""

from __future__ import annotations

import csv
import json
import math
import os
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, TextIO
from uuid import NAMESPACE_OID, uuid5

import httpx

from overread.core.clock import uuid7
from overread.core.corrections import Verdict
from overread.core.errors import Misconfigured, Retryable
from overread.core.pseudonyms import Pseudonyms

Json = dict[str, Any]
Heard = Callable[[str], None]

PATIENCE = 120.0
"""How long a server may be away (s)."""
BATCH = 500
NOTICED = 0.5
"""Share of the simulated errors that the reader notices, withdraws, and reads again."""
AMEND_OVER_PX = 1.0


class Counts(NamedTuple):
    """Accepted corrections by verdict, and what was not accepted."""

    confirmed: int = 0
    rejected: int = 0
    amended: int = 0
    added: int = 0
    unsure: int = 0
    withdrawn: int = 0
    stale: int = 0
    """Somebody else was faster (412)."""
    refused: int = 0


class Row(NamedTuple):
    """What the truth says of one spot on one frame."""

    instance: str
    frame: int
    x: float
    y: float
    radius: float
    label: int
    lesion: str

    def distance(self, place: Json) -> float:
        """Return how far the place is from the centre; infinite beyond the radius (pixels)."""
        apart = math.hypot(self.x - place["x"], self.y - place["y"])
        return apart if apart <= self.radius else math.inf


class Section(NamedTuple):
    """A row in its series."""

    series: str
    slice: int
    row: Row

    def holds(self, place: Json) -> bool:
        """Whether the place lies in it."""
        here = (place["series"], place["slice"]) == (self.series, self.slice)
        return here and self.row.distance(place) < math.inf


def read(  # noqa: D417 - the keywords that name themselves are not described
    url: str,
    truth: Path,
    pseudonyms: Pseudonyms,
    *,
    reader: str = "simulated",
    error_rate: float = 0.0,
    unsure_rate: float = 0.0,
    amend_over_px: float = 6.0,
    record: Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    idle_seconds: float = 10.0,
    on_progress: Heard | None = None,
    stop: threading.Event | None = None,
) -> Counts:
    """Read until `limit` reads are done, nothing came for `idle_seconds`, or `stop` is set.

    Args:
        url: the room's address.
        truth: `study_uid, sop_uid, frame, x, y, radius_px, label` and optionally `lesion`, which groups rows.
        amend_over_px: a mark that is farther from the lesion's centre is moved there (pixels).
        record: JSON lines `{"key", "verdict", "candidate", "version"}`, on the disk before the next correction is sent.
        on_progress: hears each accepted verdict.

    Raises:
        Misconfigured: the truth file can't be read.
        Retryable: the server stayed away for two minutes.
    """
    known = _load(truth, pseudonyms)
    stop = stop or threading.Event()
    with ExitStack() as held:
        file = held.enter_context(record.open("a")) if record else None
        client = held.enter_context(httpx.Client(base_url=url, timeout=30.0, headers={"Overread-Reader": reader}))
        desk = _Desk(client, file, on_progress or (lambda _: None), stop)
        head = _Radiologist(desk, known, _Habits(seed, error_rate, unsure_rate, amend_over_px))
        last = time.monotonic()
        while not stop.is_set() and (limit is None or head.reads < limit):
            if head.work(limit):
                last = time.monotonic()
            elif time.monotonic() - last >= idle_seconds or stop.wait(min(0.25, idle_seconds)):
                break
        return Counts(**desk.counts)


class _Habits(NamedTuple):
    seed: int
    error_rate: float
    unsure_rate: float
    amend_over_px: float


class _Radiologist:
    """Decides."""

    def __init__(self, desk: _Desk, truth: dict[str, list[Row]], habits: _Habits) -> None:
        self._desk, self._truth, self._habits = desk, truth, habits
        self._sections: dict[str, list[Section]] = {}
        self._searched: set[str] = set()
        self._given_up: set[tuple[str, int]] = set()
        self.reads = 0

    def work(self, limit: int | None) -> bool:
        """Read one batch of the worklist; False where there was nothing for this reader."""
        items = (self._desk.get(f"/api/v1/worklist?limit={BATCH}") or {"items": []})["items"]
        known = [item for item in items if item["study"] in self._truth]
        mine = [item for item in known if (item["candidate"], item["version"]) not in self._given_up]
        waiting = Counter(item["study"] for item in mine)
        for item in mine:
            if self._desk.stop.is_set() or (limit is not None and self.reads >= limit):
                break
            self._read(item)
            waiting[item["study"]] -= 1
        for study, unread in waiting.items():
            if not unread and study not in self._searched and not self._desk.stop.is_set():
                self._searched.add(study)
                self._add_missed(study)
        return bool(mine)

    def _read(self, item: Json) -> None:
        place, habits = item["place"], self._habits
        here = [part.row for part in self._find_sections(item["study"], place["series"]) if part.holds(place)]
        # Where a lesion and a spot that is none overlap, the nearer one was meant.
        row = min(here, key=lambda row: row.distance(place), default=None)
        lesion = row is not None and row.label == 1
        chance = random.Random(f"{habits.seed}/{item['candidate']}")  # noqa: S311 - a simulation, repeatable by seed
        unsure, wrong = chance.random() < habits.unsure_rate, chance.random() < habits.error_rate
        right: tuple[Verdict, Json | None] = (Verdict.REJECTED, None)
        if row is not None and lesion:
            off = row.distance(place) > habits.amend_over_px
            right = (Verdict.AMENDED, {**place, "x": row.x, "y": row.y}) if off else (Verdict.CONFIRMED, None)
        if unsure:
            said = self._say(item, item["version"], Verdict.UNSURE)
        elif wrong:
            said = self._say(item, item["version"], Verdict.REJECTED if lesion else Verdict.CONFIRMED)
            if said and chance.random() < NOTICED:
                said = self._say(item, said, Verdict.WITHDRAWN)
                said = self._say(item, said, *right) if said else None
        else:
            said = self._say(item, item["version"], *right)
        self.reads += said is not None

    def _say(self, item: Json, version: int, verdict: Verdict, place: Json | None = None) -> int | None:
        said = self._desk.say(item["candidate"], item["study"], version, verdict, place)
        if said is None:
            self._given_up.add((item["candidate"], version))
        return said

    def _add_missed(self, study: str) -> None:
        """Add each lesion that no candidate marks, under an id that a second run mints again."""
        seen = self._desk.get(f"/api/v1/studies/{study}")
        if seen is None:
            return
        marks = [candidate["place"] for candidate in seen["candidates"]]
        for series in seen["series"]:
            for lesion in _group([part for part in self._find_sections(study, series) if part.row.label == 1]):
                if any(part.holds(place) for part in lesion for place in marks):
                    continue
                largest = max(lesion, key=lambda part: part.row.radius)
                row = largest.row
                name = uuid5(NAMESPACE_OID, f"{study}/{row.instance}/{row.frame}/{row.x:g}/{row.y:g}")
                place = {"series": series, "slice": largest.slice, "x": row.x, "y": row.y}
                self._desk.say(f"a-{name.hex}", study, 0, Verdict.ADDED, place)

    def _find_sections(self, study: str, series: str) -> list[Section]:
        """Return what the truth says of one series."""
        if series not in self._sections:
            manifest = self._desk.get(f"/api/v1/series/{series}") or {"instances": []}
            slices = {(part["instance"], part["frame"]): number for number, part in enumerate(manifest["instances"])}
            self._sections[series] = [
                Section(series, slices[row.instance, row.frame], row)
                for row in self._truth[study]
                if (row.instance, row.frame) in slices
            ]
        return self._sections[series]


class _Desk:
    """Sends, tries again under the same key, and keeps the record."""

    def __init__(self, client: httpx.Client, record: TextIO | None, heard: Heard, stop: threading.Event) -> None:
        self._client, self._record, self._heard, self.stop = client, record, heard, stop
        self.counts: Counter[str] = Counter()

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
        if answer is None:
            return None
        if not answer.is_success:
            # An addition that is there already is what a second run finds.
            if not (answer.status_code == 409 and verdict is Verdict.ADDED):
                self.counts["stale" if answer.status_code == 412 else "refused"] += 1
            return None
        now = int(answer.json()["version"])
        if self._record is not None:
            line = {"key": key, "verdict": verdict.value, "candidate": candidate, "version": now}
            self._record.write(json.dumps(line) + "\n")
            self._record.flush()
            os.fsync(self._record.fileno())
        self.counts[verdict.value] += 1
        self._heard(verdict.value)
        return now

    def _request(self, method: str, path: str, **more: Any) -> httpx.Response | None:
        """Try until there is an answer; None where `stop` came first."""
        deadline, pause = time.monotonic() + PATIENCE, 0.05
        while True:
            try:
                answer = self._client.request(method, path, **more)
                if answer.status_code != 503:
                    return answer
                why = "503"
            except httpx.TransportError as error:
                why = type(error).__name__
            if time.monotonic() > deadline:
                raise Retryable(f"the review room does not answer ({why}); is it running? Start again, nothing is lost")
            if self.stop.wait(pause):
                return None
            pause = min(pause * 2, 2.0)


def _load(truth: Path, pseudonyms: Pseudonyms) -> dict[str, list[Row]]:
    """Return each study's rows, by pseudonym."""
    known: dict[str, list[Row]] = defaultdict(list)
    try:
        with truth.open(newline="") as file:
            for line in csv.DictReader(file):
                place = (float(line["x"]), float(line["y"]), float(line["radius_px"]))
                instance, frame = pseudonyms.instance(line["sop_uid"]), int(line["frame"] or 0)
                row = Row(instance, frame, *place, int(line["label"]), line.get("lesion") or "")
                known[pseudonyms.study(line["study_uid"])].append(row)
    except (OSError, KeyError, ValueError) as error:
        raise Misconfigured(f"{truth}: {error!r}; it needs study_uid,sop_uid,frame,x,y,radius_px,label") from error
    return dict(known)


def _group(sections: list[Section]) -> list[list[Section]]:
    """Join cross-sections to lesions: by the `lesion` column, or where they overlap on neighbouring slices."""
    lesions: list[list[Section]] = []
    for section in sorted(sections):
        joined = [lesion for lesion in lesions if any(_touch(section, other) for other in lesion)]
        rest = [lesion for lesion in lesions if lesion not in joined]
        lesions = [*rest, [section, *(part for lesion in joined for part in lesion)]]
    return lesions


def _touch(one: Section, other: Section) -> bool:
    a, b = one.row, other.row
    if a.lesion or b.lesion:
        return a.lesion == b.lesion
    return abs(one.slice - other.slice) == 1 and math.hypot(a.x - b.x, a.y - b.y) <= max(a.radius, b.radius)
