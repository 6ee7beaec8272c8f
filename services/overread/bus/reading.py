"""Everything that stands in some topics, once, from the beginning: for replay and for accounts."""

from __future__ import annotations

import time
from collections.abc import Iterator

from overread.bus.port import Bus, Message
from overread.core.clock import uuid7
from overread.core.errors import BusUnavailable

BATCH = 500
PATIENCE = 60.0
"""For the group to be dealt its partitions (s)."""


def everything(bus: Bus, *topics: str) -> Iterator[list[Message]]:
    """Yield what stands in the topics now, in batches, each partition in its order; what comes meanwhile is left out.

    It reads as a group of its own and commits nothing, so nothing stays behind on a cluster. A topic that is not there
    is passed over, as long as another one is.

    Raises:
        BusUnavailable: the bus is away, or gave no partitions.
    """
    consumer = bus.consumer(f"reading-{uuid7()}", topics, "reading")
    try:
        patience = time.monotonic() + PATIENCE
        while not consumer.assignment():
            consumer.poll(1, 0.1)
            if time.monotonic() > patience:
                raise BusUnavailable(
                    f"no partitions of {', '.join(topics)} within {PATIENCE:g} s; see `overread topics check`"
                )
        for partition in consumer.assignment():
            consumer.seek(partition, 0)
        ends = {partition: consumer.end(partition) for partition in consumer.assignment()}
        while any(consumer.position(partition) < end for partition, end in ends.items()):
            wanted = [
                message for message in consumer.poll(BATCH, 0.5) if message.offset < ends.get(message.partition, 0)
            ]
            if wanted:
                yield wanted
    finally:
        consumer.close()
