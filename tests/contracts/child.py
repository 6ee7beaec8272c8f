# ruff: noqa: T201 - its parent reads what it prints
"""A process of its own that the contract's tests may kill: `child.py ACT ADDRESS TOPIC`."""

from __future__ import annotations

import sys
import time

from contracts.adapters import connect_from
from overread.bus.port import Bus, Record

PARTITIONS = 4


def publish(bus: Bus, topic: str) -> None:
    """Publish for ever; say what was acknowledged."""
    number = 0
    while True:
        value = str(number).encode()
        bus.publish([Record(topic, f"key-{number % 7}", value)])
        print(number, flush=True)
        number += 1


def hold(bus: Bus, topic: str) -> None:
    """Poll, commit nothing, say what was polled, and wait for the end."""
    consumer = bus.consumer(f"{topic}-readers", [topic], "the-same")
    while True:
        for message in consumer.poll(100, 0.2):
            print((message.record.value or b"").decode(), flush=True)
        time.sleep(0.01)


if __name__ == "__main__":
    _, act, address, where = sys.argv
    {"publish": publish, "hold": hold}[act](connect_from(address, {where: PARTITIONS}), where)
