# long because: the contract of a bus is read as one
"""The contract of the bus as tests. Every adapter runs this same file."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
import tracemalloc
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from contracts.adapters import Adapter
from contracts.child import PARTITIONS
from overread.bus.dead_letters import topic_of
from overread.bus.port import Bus, Consumer, Message, Partition, Record, partition_of
from overread.core.codec import Envelope
from overread.core.errors import BusUnavailable, Fenced, InvalidEvent, Retryable
from overread.core.events import Event, StudyPurged

PATIENCE = 20.0
CHILD = Path(__file__).with_name("child.py")


def records(topic: str, count: int, keys: int = 7) -> list[Record]:
    return [Record(topic, f"key-{number % keys}", str(number).encode()) for number in range(count)]


def numbers(messages: Iterable[Message]) -> list[int]:
    return [int(message.record.value or b"-1") for message in messages]


def drain(consumer: Consumer, count: int, *, limit: int = 100) -> list[Message]:
    """Poll until `count` messages came."""
    found: list[Message] = []
    deadline = time.monotonic() + PATIENCE
    while len(found) < count and time.monotonic() < deadline:
        found += consumer.poll(limit, 0.2)
    assert len(found) == count
    return found


def nothing_comes(consumer: Consumer) -> bool:
    return not any(consumer.poll(100, 0.1) for _ in range(3))


def settle(topic: str, *members: Consumer) -> None:
    """Poll until the members share out all partitions between them, and each has some."""
    everything = {Partition(topic, number) for number in range(PARTITIONS)}
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for member in members:
            assert not member.poll(1, 0.0), "settle before you publish"
        held = [partition for member in members for partition in member.assignment()]
        if len(held) == PARTITIONS and set(held) == everything and all(member.assignment() for member in members):
            return
    pytest.fail(f"the partitions were not shared out: {[sorted(member.assignment()) for member in members]}")


def ends(messages: Iterable[Message]) -> dict[Partition, int]:
    return {message.partition: message.offset + 1 for message in messages}


@contextmanager
def child(act: str, broker: Adapter, topic: str) -> Iterator[subprocess.Popen[str]]:
    """A real process, killed with SIGKILL at the end."""
    command = [sys.executable, str(CHILD), act, broker.address(), topic]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        try:
            yield process
        finally:
            process.kill()


def test_order_per_key(bus: Bus, topic: str) -> None:
    bus.publish(records(topic, 60))
    bus.publish([Record(topic, f"key-{number % 7}", str(number).encode()) for number in range(60, 120)])
    by_key = defaultdict(list)
    for message in drain(bus.consumer(f"{topic}-readers", [topic], "one"), 120, limit=9):
        by_key[message.record.key].append(int(message.record.value or b""))
        assert message.partition == Partition(topic, partition_of(message.record.key, PARTITIONS))
    assert len(by_key) == 7
    assert all(values == sorted(values) for values in by_key.values())


def test_offsets_rise_in_a_partition_and_end_stands_behind_the_last(bus: Bus, topic: str) -> None:
    bus.publish(records(topic, 40))
    consumer = bus.consumer(f"{topic}-readers", [topic], "one")
    by_partition = defaultdict(list)
    for message in drain(consumer, 40, limit=3):
        by_partition[message.partition].append(message.offset)
    for partition, offsets in by_partition.items():
        assert offsets == sorted(set(offsets))
        assert consumer.end(partition) == offsets[-1] + 1 == consumer.position(partition)


def test_redelivery_after_a_crash_and_the_same_name_takes_its_partitions_back(
    broker: Adapter, bus: Bus, topic: str
) -> None:
    bus.publish(records(topic, 20))
    with child("hold", broker, topic) as process:
        assert process.stdout is not None
        polled = {int(process.stdout.readline()) for _ in range(20)}
        process.kill()
        process.wait()
    assert polled == set(range(20))
    successor = bus.consumer(f"{topic}-readers", [topic], "the-same")  # nobody waits for the time-out of the dead one
    assert sorted(numbers(drain(successor, 20))) == list(range(20))


def test_another_name_takes_over_once_the_crashed_member_has_timed_out(broker: Adapter, bus: Bus, topic: str) -> None:
    bus.publish(records(topic, 20))
    with child("hold", broker, topic) as process:
        assert process.stdout is not None
        for _ in range(20):
            process.stdout.readline()
    broker.outlive_members()
    assert sorted(numbers(drain(bus.consumer(f"{topic}-readers", [topic], "another"), 20))) == list(range(20))


def test_no_acknowledged_event_is_lost_on_kill_9(broker: Adapter, bus: Bus, topic: str) -> None:
    dice = random.Random(9)  # noqa: S311 - when to kill is no secret
    acknowledged: Counter[int] = Counter()
    rounds = 0
    while rounds < 5 or (acknowledged.total() <= 50 and rounds < 50):  # a busy machine needs more of them
        rounds += 1
        with child("publish", broker, topic) as process:
            assert process.stdout is not None
            told = [process.stdout.readline()]  # it runs
            time.sleep(dice.uniform(0.01, 0.2))
            process.kill()
            told += process.stdout.readlines()
        acknowledged.update(int(line) for line in told if line.endswith("\n"))
    assert acknowledged.total() > 50
    found: Counter[int] = Counter()
    consumer = bus.consumer(f"{topic}-checker", [topic], "one")
    while messages := consumer.poll(1000, 0.5):
        found.update(numbers(messages))
    assert not acknowledged - found
    # Each round may leave one more that was written and never acknowledged.
    assert (found - acknowledged).total() <= rounds


def test_two_members_hold_disjoint_partitions_that_cover_all(bus: Bus, topic: str) -> None:
    one, two = (bus.consumer(f"{topic}-readers", [topic], name) for name in ("one", "two"))
    settle(topic, one, two)
    assert one.assignment()
    assert two.assignment()
    bus.publish(records(topic, 50, keys=50))
    for member in one, two:
        held = {partition.number for partition in member.assignment()}
        expected = [number for number in range(50) if partition_of(f"key-{number}", PARTITIONS) in held]
        assert sorted(numbers(drain(member, len(expected)))) == expected
        assert nothing_comes(member)


def test_a_stale_member_is_fenced_at_commit(broker: Adapter, bus: Bus, topic: str) -> None:
    stale = bus.consumer(f"{topic}-readers", [topic], "stale")
    settle(topic, stale)
    bus.publish(records(topic, 10))
    in_hand = drain(stale, 10)
    broker.outlive_members()
    successor = bus.consumer(f"{topic}-readers", [topic], "successor")
    assert sorted(numbers(drain(successor, 10))) == list(range(10))
    with pytest.raises(Fenced):
        stale.commit(ends(in_hand))
    successor.commit(ends(in_hand))
    assert all(successor.committed(partition) == following for partition, following in ends(in_hand).items())


def test_a_fenced_member_reads_what_it_holds_again_from_what_was_committed(
    broker: Adapter, bus: Bus, topic: str
) -> None:
    stale = bus.consumer(f"{topic}-readers", [topic], "stale")
    settle(topic, stale)
    bus.publish(records(topic, 10, keys=1))
    first, *_ = in_hand = drain(stale, 10)
    broker.outlive_members()
    successor = bus.consumer(f"{topic}-readers", [topic], "successor")
    drain(successor, 10)
    successor.commit(ends([first]))
    successor.close()
    with pytest.raises(Fenced):
        stale.commit(ends(in_hand))
    assert numbers(drain(stale, 9)) == list(range(1, 10))


class Refuses:
    """A handler that cannot stand one study."""

    consumes = StudyPurged

    def __init__(self) -> None:
        self.applied: list[str] = []

    def prepare(self, envelope: Envelope[StudyPurged]) -> None:
        if envelope.event.study == "s-poison":
            raise InvalidEvent("poison")

    def apply(self, _tx: object, envelope: Envelope[StudyPurged], _prepared: None) -> list[Event]:
        self.applied.append(envelope.event.study)
        return []


def test_poison_goes_to_the_dead_letters_and_blocks_nobody(broker: Adapter, topic: str) -> None:
    room = f"{topic}-tested"
    letters_of_it = topic_of(StudyPurged.topic, room)
    broker.start()
    bus = broker.connect({StudyPurged.topic: PARTITIONS, letters_of_it: 1})
    studies = ["s-1", "s-poison", "s-2", "s-3"]
    sent = [Envelope(StudyPurged(study=study), "gateway").record() for study in studies]
    bus.publish([*sent, Record(StudyPurged.topic, "s-4", b"no event at all"), *sent[:1]])
    handler = Refuses()
    worker = broker.worker(bus, room, [handler])
    deadline = time.monotonic() + PATIENCE
    while worker.step(0.2) or (len(handler.applied) < 3 and time.monotonic() < deadline):
        pass
    assert sorted(handler.applied) == ["s-1", "s-2", "s-3"]
    clerk = bus.consumer(f"{topic}-clerks", [letters_of_it], "one")
    letters = drain(clerk, 2)
    assert {letter.record.value for letter in letters} == {sent[1].value, b"no event at all"}
    assert {letter.record.headers["dlq_error"].split(b":")[0] for letter in letters} == {b"InvalidEvent"}
    assert nothing_comes(clerk)


def test_bounded_memory_under_a_slow_consumer(bus: Bus, topic: str) -> None:
    size, count, limit = 100_000, 400, 5
    for _ in range(count // 20):
        bus.publish([Record(topic, f"key-{number}", bytes(size)) for number in range(20)])
    consumer = bus.consumer(f"{topic}-readers", [topic], "slow")
    tracemalloc.start()
    try:
        seen = 0
        while seen < count:
            messages = consumer.poll(limit, 1.0)
            assert 0 < len(messages) <= limit
            seen += len(messages)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < size * count / 4


def test_replay_from_the_beginning(bus: Bus, topic: str) -> None:
    bus.publish(records(topic, 30))
    consumer = bus.consumer(f"{topic}-readers", [topic], "one")
    first = drain(consumer, 30)
    consumer.commit(ends(first))
    assert nothing_comes(consumer)
    for partition in consumer.assignment():
        consumer.seek(partition, 0)
    again = drain(consumer, 30)
    assert sorted((m.partition, m.offset, m.record.value) for m in again) == sorted(
        (m.partition, m.offset, m.record.value) for m in first
    )


def test_a_new_group_starts_at_the_beginning(bus: Bus, topic: str) -> None:
    bus.publish(records(topic, 5))
    assert sorted(numbers(drain(bus.consumer(f"{topic}-latecomers", [topic], "one"), 5))) == list(range(5))


def test_seek(bus: Bus, topic: str) -> None:
    bus.publish(records(topic, 10, keys=1))
    consumer = bus.consumer(f"{topic}-readers", [topic], "one")
    messages = drain(consumer, 10)
    consumer.seek(messages[6].partition, messages[6].offset)
    assert consumer.position(messages[6].partition) == messages[6].offset
    assert numbers(drain(consumer, 4)) == [6, 7, 8, 9]


def test_pause_and_resume(bus: Bus, topic: str) -> None:
    consumer = bus.consumer(f"{topic}-readers", [topic], "one")
    settle(topic, consumer)
    bus.publish(records(topic, 40, keys=40))
    quiet = Partition(topic, partition_of("key-0", PARTITIONS))
    consumer.pause([quiet])
    expected = [n for n in range(40) if partition_of(f"key-{n}", PARTITIONS) != quiet.number]
    assert sorted(numbers(drain(consumer, len(expected)))) == expected
    assert nothing_comes(consumer)
    assert quiet in consumer.assignment()
    consumer.resume([quiet])
    assert sorted([*expected, *numbers(drain(consumer, 40 - len(expected)))]) == list(range(40))


def test_groups_are_independent(bus: Bus, topic: str) -> None:
    bus.publish(records(topic, 20))
    one, two = bus.consumer(f"{topic}-one", [topic], "member"), bus.consumer(f"{topic}-two", [topic], "member")
    mine = drain(one, 20)
    one.commit(ends(mine))
    assert all(two.committed(partition) == 0 for partition in ends(mine))
    assert sorted(numbers(drain(two, 20))) == list(range(20))


def test_a_topic_that_is_not_asked_for_is_not_heard(bus: Bus, topic: str) -> None:
    bus.publish([Record(f"{topic}.dlq", "key", b"1"), Record(topic, "key", b"2")])
    consumer = bus.consumer(f"{topic}-readers", [topic], "one")
    assert numbers(drain(consumer, 1)) == [2]
    assert nothing_comes(consumer)
    assert numbers(drain(bus.consumer(f"{topic}-clerks", [f"{topic}.dlq"], "one"), 1)) == [1]


def test_headers_no_value_and_900_kb_come_through_intact(bus: Bus, topic: str) -> None:
    headers = {"utf": "ä→".encode(), "raw": bytes(range(256)), "empty": b""}
    odd = Record(topic, "ключ", bytes(range(256)) * 3600, headers)
    none = Record(topic, "key", None, {})
    empty = Record(topic, "key", b"")
    bus.publish([odd, none, empty])
    found = [message.record for message in drain(bus.consumer(f"{topic}-readers", [topic], "one"), 3)]
    assert sorted(found, key=lambda record: repr(record.value)) == sorted(
        [odd, none, empty], key=lambda record: repr(record.value)
    )


def test_a_commit_never_goes_backwards(bus: Bus, topic: str) -> None:
    bus.publish(records(topic, 10, keys=1))
    consumer = bus.consumer(f"{topic}-readers", [topic], "one")
    messages = drain(consumer, 10)
    partition = messages[0].partition
    consumer.commit({partition: messages[7].offset + 1})
    consumer.commit({partition: messages[2].offset + 1})
    assert consumer.committed(partition) == messages[7].offset + 1
    consumer.close()
    assert numbers(drain(bus.consumer(f"{topic}-readers", [topic], "two"), 2)) == [8, 9]


def test_a_publish_after_a_rejected_record_succeeds(broker: Adapter, bus: Bus, topic: str) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is the adapter's affair
        bus.publish([broker.refused(topic)])
    assert not isinstance(caught.value, Retryable), "what can never be written must not look as if it could"
    bus.publish(records(topic, 3))
    assert sorted(numbers(drain(bus.consumer(f"{topic}-readers", [topic], "one"), 3))) == [0, 1, 2]


def test_the_broker_is_absent_at_the_start(broker: Adapter, topic: str) -> None:
    broker.be_absent()
    bus = broker.connect({topic: PARTITIONS})
    with pytest.raises(BusUnavailable):
        bus.publish(records(topic, 1))
    consumer = bus.consumer(f"{topic}-readers", [topic], "one")
    with pytest.raises(Retryable):
        consumer.poll(1, 0.1)
    broker.start()
    bus.publish(records(topic, 1))
    assert numbers(drain(consumer, 1)) == [0]


def test_close_hands_partitions_over_at_once(bus: Bus, topic: str) -> None:
    one, two = (bus.consumer(f"{topic}-readers", [topic], name) for name in ("one", "two"))
    settle(topic, one, two)
    one.close()
    settle(topic, two)


def test_a_member_at_work_lives_takes_part_and_loses_nothing(bus: Bus, topic: str) -> None:
    at_work, other = (bus.consumer(f"{topic}-readers", [topic], name) for name in ("at-work", "other"))
    settle(topic, at_work)
    bus.publish(records(topic, 40, keys=40))
    found: list[Message] = []
    deadline = time.monotonic() + PATIENCE
    while (not other.assignment() or at_work.assignment() & other.assignment()) and time.monotonic() < deadline:
        at_work.keep_alive()
        found += other.poll(1, 0.0)
    assert at_work.assignment()
    while len(found) < 40 and time.monotonic() < deadline:
        found += [message for member in (at_work, other) for message in member.poll(100, 0.1)]
    assert sorted(numbers(found)) == list(range(40))


def test_publishing_nothing_is_no_error(bus: Bus, topic: str) -> None:
    bus.publish([])
    assert nothing_comes(bus.consumer(f"{topic}-readers", [topic], "one"))
