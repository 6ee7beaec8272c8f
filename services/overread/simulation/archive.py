"""Labels that exist already: every candidate that the truth names gets its verdict, asked for or not."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from overread.core.corrections import Verdict
from overread.core.pseudonyms import Pseudonyms
from overread.simulation.desk import Counts, Desk, Heard, opened
from overread.simulation.truth import nearest


def answer(
    url: str,
    truth: Path,
    pseudonyms: Pseudonyms,
    *,
    reader: str,
    candidates: int,
    idle_seconds: float,
    on_progress: Heard | None = None,
    stop: threading.Event | None = None,
) -> Counts:
    """Go through the truth's studies as they come in, until `candidates` are answered or nothing came for a while.

    A candidate that the truth has no row for is left alone: no label is not a negative one. One that somebody has
    answered before is left alone too, so importing again changes nothing.
    """
    with opened(url, truth, pseudonyms, reader=reader, record=None, on_progress=on_progress, stop=stop) as desk:
        done: set[str] = set()
        last = time.monotonic()
        while not desk.stop.is_set() and len(done) < candidates:
            before = len(done)
            for study in desk.truth:
                _answer(desk, study, done)
            if len(done) > before:
                last = time.monotonic()
            elif time.monotonic() - last >= idle_seconds or desk.stop.wait(1.0):
                break
        return desk.counts


def _answer(desk: Desk, study: str, done: set[str]) -> None:
    seen = desk.get(f"/api/v1/studies/{study}") or {"candidates": []}
    for candidate in seen["candidates"]:
        name = candidate["candidate"]
        row = nearest(desk.find_sections(study, candidate["place"]["series"]), candidate["place"])
        if name in done or row is None or desk.stop.is_set():
            continue
        done.add(name)
        if candidate["version"] == 0:
            desk.say(name, study, 0, Verdict.CONFIRMED if row.label else Verdict.REJECTED, None)
