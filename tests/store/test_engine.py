from __future__ import annotations

import sqlite3
import threading
from typing import Any

import pytest
from sqlalchemy import event, func, insert, select, text

from overread.bus.embedded import EmbeddedBus
from overread.bus.port import Record
from overread.core.errors import BusUnavailable, Misconfigured, StoreUnavailable
from overread.store import deliveries
from overread.store.engine import Store
from overread.store.tables import inbox, outbox


def count(store: Store, table: Any) -> int:
    with store.reading() as tx:
        return int(tx.execute(select(func.count()).select_from(table)).scalar_one())


def test_a_transaction_commits_on_a_clean_exit_and_only_then(store: Store) -> None:
    with store.writing() as tx:
        deliveries.first_time(tx, "room", "one")
    with pytest.raises(ZeroDivisionError), store.writing() as tx:  # noqa: PT012 - the block is what is tested
        deliveries.first_time(tx, "room", "two")
        raise ZeroDivisionError
    assert count(store, inbox) == 1


def test_a_write_while_reading_fails(store: Store) -> None:
    with pytest.raises(StoreUnavailable, match="readonly"), store.reading() as tx:
        tx.execute(insert(inbox).values(group="room", event="one"))
    with store.writing() as tx:  # the same pooled connection may write again
        assert deliveries.first_time(tx, "room", "one")
    assert count(store, inbox) == 1


def test_a_reader_sees_one_state_while_another_writes(store: Store) -> None:
    with store.reading() as before:
        first = before.execute(select(func.count()).select_from(inbox)).scalar_one()
        with store.writing() as tx:
            deliveries.first_time(tx, "room", "one")
        assert before.execute(select(func.count()).select_from(inbox)).scalar_one() == first == 0
    assert count(store, inbox) == 1


def test_a_writer_waits_for_the_one_before_it(store: Store) -> None:
    began, order = threading.Event(), []

    def second() -> None:
        began.wait(5)
        with store.writing() as tx:
            deliveries.first_time(tx, "room", "second")
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with store.writing() as tx:
        began.set()
        deliveries.first_time(tx, "room", "first")
        thread.join(0.3)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
    assert count(store, inbox) == 2


def test_a_commit_is_on_the_disk(store: Store) -> None:
    with store.reading() as tx:
        assert tx.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert tx.execute(text("PRAGMA synchronous")).scalar() == 2


def test_a_full_disk_is_said_plainly_and_nothing_is_lost(store: Store) -> None:
    limit = {"pages": 0}

    def cap(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute(f"PRAGMA max_page_count={limit['pages']}")

    with store.reading() as tx:
        limit["pages"] = int(tx.execute(text("PRAGMA page_count")).scalar_one()) + 20
    store.engine.dispose()
    event.listen(store.engine, "connect", cap)
    bus = EmbeddedBus(store, {})
    written = 0
    with pytest.raises(BusUnavailable, match="full"):  # noqa: PT012 - who knows which one is too many
        for number in range(1000):
            bus.publish([Record("topic", f"key-{number}", bytes(20_000)) for _ in range(2)])
            written += 2
    assert 0 < written == count(store, outbox)

    with pytest.raises(StoreUnavailable, match="full"), store.writing() as tx:  # noqa: PT012 - so too
        deliveries.first_time(tx, "room", "beside it")
        bus.append(tx, [Record("topic", "key", bytes(200_000))])
    assert count(store, inbox) == 0, "an effect stands without its event"

    limit["pages"] += 1000  # somebody made room
    store.engine.dispose()
    bus.publish([Record("topic", "key", bytes(200_000))])
    assert count(store, outbox) == written + 1


def test_another_database_is_refused_with_what_works() -> None:
    with pytest.raises(Misconfigured, match="sqlite:////"):
        Store("postgresql://localhost/overread")


def test_offsets_only_go_forwards(store: Store) -> None:
    with store.writing() as tx:
        assert deliveries.next_offset(tx, "room", "topic", 0) == 0
        for following in (5, 9, 7):
            deliveries.advance(tx, "room", "topic", 0, following)
        deliveries.advance(tx, "room", "topic", 1, 2)
        assert deliveries.next_offset(tx, "room", "topic", 0) == 9
        assert deliveries.next_offset(tx, "room", "topic", 1) == 2


def test_the_inbox_knows_each_group_by_itself(store: Store) -> None:
    with store.writing() as tx:
        assert deliveries.first_time(tx, "one", "event")
        assert not deliveries.first_time(tx, "one", "event")
        assert deliveries.first_time(tx, "two", "event")
        assert deliveries.was_handled(tx, "one", "event")
        assert not deliveries.was_handled(tx, "three", "event")
