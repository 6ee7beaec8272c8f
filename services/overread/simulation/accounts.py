"""Was anything lost or doubled? The clients' own fsynced lists, held against ledger and log."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from overread.bus.reading import everything
from overread.core.codec import decode
from overread.core.events import FACTS, INSTANCES, Event, FindingCorrected, InstanceReceived
from overread.gateway import standing as gateway
from overread.house import House
from overread.review import standing as review


class Accounts(NamedTuple):
    """What clients were promised, and what became of it."""

    instances: int
    """Answered 0x0000."""
    corrections: int
    """Answered 2xx."""
    lost: int
    duplicated: int


def reconcile(house: House, sent: Path, answered: Path) -> Accounts:
    """Count promises without an effect (lost) and effects that happened twice (duplicated).

    Args:
        house: ledger and log.
        sent: JSON lines `{"sop_uid": …}` of `overread send --record`.
        answered: JSON lines `{"key": …}` of `overread read --record`.
    """
    promised = {line["sop_uid"] for line in _lines(sent)}
    keys = {line["key"] for line in _lines(answered)}
    with house.store.reading() as tx:
        stored = gateway.stored(tx)
        entered = Counter(row["correction"] for row in review.ledger(tx))
    announced = Counter(event.instance for event in log(house, INSTANCES) if isinstance(event, InstanceReceived))
    facts = Counter(event.correction for event in log(house, FACTS) if isinstance(event, FindingCorrected))
    known = {house.pseudonyms.instance(uid) for uid in promised}
    lost = (
        len(promised - stored) + len(known - announced.keys()) + len(keys - entered.keys()) + len(keys - facts.keys())
    )
    doubled = sum(number - 1 for counter in (announced, entered, facts) for number in counter.values())
    return Accounts(len(promised), len(keys), lost, doubled)


def log(house: House, topic: str) -> Iterator[Event]:
    """Yield every event of a topic from the beginning, once, however often it was sent: consumers know it by its id."""
    seen: set[str] = set()
    for messages in everything(house.bus, topic):
        for message in messages:
            envelope = decode(message.record.headers, message.record.value)
            if envelope.id not in seen:
                seen.add(envelope.id)
                yield envelope.event


def _lines(file: Path) -> Iterable[dict[str, str]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
