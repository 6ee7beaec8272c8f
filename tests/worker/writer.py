# ruff: noqa: T201 - its parent reads what it prints
"""A room as a process of its own, whose every event takes 100 ms to prepare: `writer.py ROOM URL EVENTS`."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, insert

from overread import metrics
from overread.core.codec import Envelope
from overread.core.events import Event, StudyPurged
from overread.store.engine import Store
from overread.worker import Worker
from worker.room import effects, embedded

_, room, url, events = sys.argv


class Slow:
    """Computes for 100 ms, then writes."""

    consumes = StudyPurged

    def prepare(self, _envelope: Envelope[Any]) -> bool:
        time.sleep(0.1)
        return True

    def apply(self, tx: Connection, envelope: Envelope[Any], _prepared: bool) -> Sequence[Event]:
        tx.execute(insert(effects).values(study=f"{room} {envelope.event.study}"))
        return []


store = Store(url)
bus = embedded(store)
worker = Worker(room, store=store, bus=bus, outbox=bus.append, handlers=[Slow()])
worker.batch = 2
handled = 0
print("ready", flush=True)
while handled < int(events):
    handled += worker.step(0.2)
print("retries", int(metrics.retries.labels(room)._value.get()))
store.close()
