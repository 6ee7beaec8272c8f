"""The relay, from a real outbox to a real log: the embedded bus of a second database."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, func, select

from bus.target import TOPIC, Log, numbers, place, say, work
from databases import create_tables, opened
from overread.bus.embedded import EmbeddedBus
from overread.bus.port import Record
from overread.bus.relay import Prune, Relay, release, standing
from overread.core.errors import BusUnavailable, Misconfigured
from overread.store.engine import Store
from overread.store.tables import outbox
from overread.worker import Worker


@pytest.fixture
def store(house: str) -> Iterator[Store]:
    """Where the outbox is, on SQLite and on PostgreSQL."""
    yield from opened(house)


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Log]:
    create_tables(url := f"sqlite:///{tmp_path}/log.db")
    for store in opened(url):
        yield Log(store)


@pytest.mark.parametrize("batch", [1, 7, 500])
def test_every_row_is_sent_once_and_in_order(store: Store, there: Log, batch: int) -> None:
    relay = Relay(store, there, "one")
    relay.batch = batch
    say(store, *numbers(0, 20))
    work(store, relay)
    say(store, *numbers(20, 25))
    work(store, relay)
    assert there.values() == numbers(0, 25)
    with store.reading() as tx:
        assert standing(tx) == (0, 0, [])


def test_a_record_comes_out_as_it_went_in(store: Store, there: Log) -> None:
    given = Record(TOPIC, "ключ", None, {"ce_id": b"1", "odd": bytes(range(256)), "empty": b""})
    large = Record(TOPIC, "s-1", bytes(range(256)) * 3600, {})
    with store.writing() as tx:
        EmbeddedBus(store, {}).append(tx, [given, large])
    work(store, Relay(store, there, "one"))
    assert [message.record for message in there.messages()] == [given, large]


def test_what_is_not_committed_is_not_sent(store: Store, there: Log) -> None:
    with pytest.raises(ZeroDivisionError), store.writing() as tx:  # noqa: PT012 - the block is what is tested
        EmbeddedBus(store, {}).append(tx, [Record(TOPIC, "k", b"never")])
        raise ZeroDivisionError
    say(store, "after")
    work(store, Relay(store, there, "one"))
    assert there.values() == ["after"]


def test_killed_between_acknowledgement_and_mark_it_sends_again(store: Store, there: Log) -> None:
    say(store, *numbers(0, 10))
    assert Relay(store, there, "one").prepare() is not None, "published, and then the process is gone"
    say(store, *numbers(10, 15))
    work(store, Relay(store, there, "one"))
    assert there.values() == numbers(0, 10) + numbers(0, 15)
    assert there.first_times() == numbers(0, 15)


def test_killed_in_the_middle_of_a_batch_it_sends_all_of_it_again(store: Store, there: Log) -> None:
    class Killed(BaseException):
        pass

    def killed(records: Sequence[Record]) -> None:
        there.bus.publish(records[:3])
        raise Killed

    say(store, *numbers(0, 10))
    there.before = killed
    with pytest.raises(Killed):
        Relay(store, there, "one").prepare()
    there.before = lambda _: None
    work(store, Relay(store, there, "one"))
    assert there.values() == numbers(0, 3) + numbers(0, 10)


def test_a_bus_that_is_away_loses_nothing_and_costs_no_mark(store: Store, there: Log) -> None:
    def away(_: Sequence[Record]) -> None:
        raise BusUnavailable("away")

    say(store, *numbers(0, 10))
    relay, there.before = Relay(store, there, "one"), away
    with pytest.raises(BusUnavailable):
        relay.prepare()
    assert place(store) == 0
    there.before = lambda _: None
    work(store, relay)
    assert there.values() == numbers(0, 10)


def test_an_acknowledgement_that_is_lost_makes_doubles_and_no_gap(store: Store, there: Log) -> None:
    def unheard(_: Sequence[Record]) -> None:
        there.after = lambda _: None
        raise BusUnavailable("no answer in time")

    say(store, *numbers(0, 10))
    relay, there.after = Relay(store, there, "one"), unheard
    with pytest.raises(BusUnavailable):
        relay.prepare()
    work(store, relay)
    assert there.values() == numbers(0, 10) * 2


# What is refused for ever


@pytest.mark.parametrize("bad", [{0}, {9}, {4, 5}, {0, 3, 9}])
def test_a_refused_row_is_set_aside_and_blocks_nobody(
    store: Store, there: Log, bad: set[int], caplog: pytest.LogCaptureFixture
) -> None:
    there.refuses = lambda record: int(record.value or b"0") in bad
    say(store, *numbers(0, 10))
    with caplog.at_level(logging.ERROR):
        work(store, Relay(store, there, "one"))
    good = [value for value in numbers(0, 10) if int(value) not in bad]
    assert there.first_times() == good
    with store.reading() as tx:
        found = standing(tx)
        assert (found.unsent, found.refused) == (0, len(bad))
        assert found.reasons == [f"{number} is too large" for number in sorted(bad, reverse=True)]
    assert [record.__dict__["reason"] for record in caplog.records] == found.reasons[::-1]


def test_later_rows_of_the_same_key_go_on(store: Store, there: Log) -> None:
    """One of them may be the word that the study is purged."""
    there.refuses = lambda record: record.value == b"large"
    say(store, "before", "large", "after", "purged", key="s-1")
    work(store, Relay(store, there, "one"))
    assert there.first_times() == ["before", "after", "purged"]


def test_what_the_bus_acknowledged_before_it_went_away_is_marked(store: Store, there: Log) -> None:
    """Row 2 is refused, so the batch goes in halves; the bus goes away after the first of them."""
    there.refuses = lambda record: record.value == b"2"
    say(store, *numbers(0, 4))

    def away_at_last(records: Sequence[Record]) -> None:
        if [record.value for record in records] == [b"3"]:
            there.before = lambda _: None
            raise BusUnavailable("away")

    relay, there.before = Relay(store, there, "one"), away_at_last
    work(store, relay)
    assert there.values() == [*numbers(0, 2), "3"]


def test_what_is_set_aside_can_be_sent_when_the_cause_is_mended(store: Store, there: Log) -> None:
    there.refuses = lambda record: record.value in {b"1", b"2"}
    relay = Relay(store, there, "one")
    say(store, *numbers(0, 4))
    work(store, relay)
    there.refuses = lambda _: False
    with store.writing() as tx:
        assert release(tx) == 2
        assert release(tx) == 0
    work(store, relay)
    assert there.first_times() == ["0", "3", "1", "2"]
    with store.reading() as tx:
        assert standing(tx) == (0, 0, [])


def test_a_bus_that_refuses_everything_stops_the_relay_before_all_is_set_aside(store: Store, there: Log) -> None:
    there.refuses = lambda _: True
    relay = Relay(store, there, "one")
    relay.brake = 5
    say(store, *numbers(0, 9))
    with pytest.raises(BusUnavailable, match="5 rows in a row"):
        work(store, relay)
    there.refuses = lambda _: False
    work(store, Relay(store, there, "one"))
    with store.reading() as tx:
        found = standing(tx)
    assert there.first_times() == numbers(found.refused, 9)
    assert found.refused <= 5


def test_what_was_sent_before_the_brake_is_marked_and_not_sent_again(store: Store, there: Log) -> None:
    there.refuses = lambda record: record.value not in {b"0", b"1"}
    relay = Relay(store, there, "one")
    relay.brake = 2
    say(store, *numbers(0, 9))
    for _ in range(3):
        with pytest.raises(BusUnavailable, match="2 rows in a row"):
            work(store, relay)
    assert there.values() == ["0", "1"]


def test_a_missing_topic_or_right_is_nobodys_row(store: Store, there: Log) -> None:
    def forbidden(_: Sequence[Record]) -> None:
        raise Misconfigured("this user lacks the right")

    say(store, "1")
    relay, there.before = Relay(store, there, "one"), forbidden
    with pytest.raises(Misconfigured):
        relay.prepare()
    there.before = lambda _: None
    work(store, relay)
    assert there.values() == ["1"]


# Who relays


def test_one_relay_at_a_time(store: Store, there: Log) -> None:
    one, two = Relay(store, there, "one"), Relay(store, there, "two")
    say(store, "1")
    assert one.prepare() is not None
    assert two.prepare() is None
    one.close()
    two = Relay(store, there, "two")
    work(store, two)
    assert there.values() == ["1", "1"]


def test_a_relay_that_was_succeeded_marks_nothing_and_breaks_no_order(store: Store, there: Log) -> None:
    clock = [1000.0]
    store.now = lambda _: clock[0]  # type: ignore[method-assign]
    slow, quick = Relay(store, there, "slow"), Relay(store, there, "quick")
    slow.batch = 4
    there.refuses = lambda record: record.value == b"1"
    say(store, *numbers(0, 10))
    late = slow.prepare()
    assert late is not None
    clock[0] += 60
    there.refuses = lambda _: False  # the cause was mended before the other one began
    work(store, quick)
    before = place(store)
    with store.writing() as tx:
        slow.apply(tx, late)
        assert standing(tx) == (0, 0, [])
    assert place(store) == before
    assert sorted(there.first_times()) == numbers(0, 10)


def test_it_is_a_duty_of_a_worker(store: Store, there: Log) -> None:
    relay = Relay(store, there, "one")
    bus = EmbeddedBus(store, {})
    worker = Worker("relay", store=store, bus=bus, outbox=bus.append, handlers=(), duties=(relay, Prune(store)))
    say(store, *numbers(0, 10))
    while worker.perform_duties(threading.Event()):
        pass
    assert there.values() == numbers(0, 10)


# What is forgotten


def test_old_rows_are_forgotten_once_they_are_sent(store: Store, there: Log) -> None:
    now = datetime.now(UTC)
    clock = [now]
    prune = Prune(store, timedelta(days=7), lambda: clock[0])
    prune.batch = 3
    there.refuses = lambda record: record.value == b"0"
    say(store, *numbers(0, 8))
    work(store, Relay(store, there, "one"))
    say(store, "unsent")
    assert prune.prepare() is None
    clock[0] = now + timedelta(days=8)
    while (old := prune.prepare()) is not None:
        assert len(old) <= 3
        with store.writing() as tx:
            prune.apply(tx, old)
    with store.reading() as tx:
        left = tx.execute(select(outbox.c.key).order_by(outbox.c.id)).scalars().all()
    assert left == ["0", "unsent"], "what was set aside and what was not sent stay"


def test_an_id_is_never_given_twice_so_the_place_holds_when_all_is_forgotten(store: Store, there: Log) -> None:
    relay = Relay(store, there, "one")
    say(store, "1", "2")
    work(store, relay)
    with store.writing() as tx:
        tx.execute(delete(outbox))
    say(store, "3")
    work(store, relay)
    assert there.values() == ["1", "2", "3"]
    with store.reading() as tx:
        assert tx.execute(select(func.count()).select_from(outbox)).scalar_one() == 1
