"""A process that counts in the database, one transaction a number: `writer.py URL TIMES`."""

from __future__ import annotations

import random
import sys
import time

from overread.bus.embedded import EmbeddedBus
from overread.bus.port import Record
from overread.store import deliveries
from overread.store.engine import Store

_, url, times = sys.argv
store = Store(url)
bus = EmbeddedBus(store, {})
for _ in range(int(times)):
    with store.writing() as tx:
        number = deliveries.next_offset(tx, "writers", "numbers", 0)
        bus.append(tx, [Record("numbers", str(number), None)])
        time.sleep(random.random() / 200)  # noqa: S311 - so that commits would overtake each other
        deliveries.advance(tx, "writers", "numbers", 0, number + 1)
store.close()
