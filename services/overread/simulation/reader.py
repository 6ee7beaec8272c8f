"""A simulated radiologist: reads the worklist by a truth file, through the same REST API as the page.

It makes mistakes at a given rate and takes some of them back, so that every verdict occurs. Which candidates it errs on
depends on the seed and the candidate alone, not on the order of reading.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple
from uuid import NAMESPACE_OID, uuid5

from overread.core.corrections import Verdict
from overread.core.pseudonyms import Pseudonyms
from overread.simulation.desk import Counts, Desk, Heard, opened
from overread.simulation.truth import Json, group, nearest

BATCH = 500
NOTICED = 0.5
"""Share of the simulated errors that the reader notices, withdraws, and reads again."""
AMEND_OVER_PX = 1.0


def read(  # noqa: D417 - the keywords that name themselves are not described
    url: str,
    truth: Path,
    pseudonyms: Pseudonyms,
    *,
    reader: str = "simulated",
    error_rate: float = 0.0,
    unsure_rate: float = 0.0,
    amend_over_px: float = AMEND_OVER_PX,
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
    with opened(url, truth, pseudonyms, reader=reader, record=record, on_progress=on_progress, stop=stop) as desk:
        head = _Radiologist(desk, _Habits(seed, error_rate, unsure_rate, amend_over_px))
        last = time.monotonic()
        while not desk.stop.is_set() and (limit is None or head.reads < limit):
            if head.work(limit):
                last = time.monotonic()
            elif time.monotonic() - last >= idle_seconds or desk.stop.wait(min(0.25, idle_seconds)):
                break
        return desk.counts


class _Habits(NamedTuple):
    seed: int
    error_rate: float
    unsure_rate: float
    amend_over_px: float


class _Radiologist:
    """Decides."""

    def __init__(self, desk: Desk, habits: _Habits) -> None:
        self._desk, self._habits = desk, habits
        self._searched: set[str] = set()
        self._given_up: set[tuple[str, int]] = set()
        self.reads = 0

    def work(self, limit: int | None) -> bool:
        """Read one batch of the worklist; False where there was nothing for this reader."""
        items = (self._desk.get(f"/api/v1/worklist?limit={BATCH}") or {"items": []})["items"]
        known = [item for item in items if item["study"] in self._desk.truth]
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
        row = nearest(self._desk.find_sections(item["study"], place["series"]), place)
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
            for lesion in group([part for part in self._desk.find_sections(study, series) if part.row.label == 1]):
                if any(part.holds(place) for part in lesion for place in marks):
                    continue
                _, number, row = max(lesion, key=lambda part: part.row.radius)
                name = uuid5(NAMESPACE_OID, f"{study}/{row.instance}/{row.frame}/{row.x:g}/{row.y:g}")
                place = {"series": series, "slice": number, "x": row.x, "y": row.y}
                self._desk.say(f"a-{name.hex}", study, 0, Verdict.ADDED, place)
