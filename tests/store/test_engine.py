from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, insert, select, text
from sqlalchemy.exc import IntegrityError

from overread.bus.embedded import EmbeddedBus
from overread.bus.port import Record
from overread.core.errors import BusUnavailable, Misconfigured, StoreUnavailable
from overread.store import deliveries
from overread.store.engine import Store, upsert
from overread.store.tables import inbox, outbox, purges

WRITERS, WRITES = 3, 20


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
    with pytest.raises(StoreUnavailable, match=r"readonly|read-only"), store.reading() as tx:
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


ON_SQLITE = pytest.mark.parametrize("house", ["sqlite"], indirect=True)


@ON_SQLITE
def test_a_commit_is_on_the_disk(store: Store) -> None:
    with store.reading() as tx:
        assert tx.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert tx.execute(text("PRAGMA synchronous")).scalar() == 2


@ON_SQLITE
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


@pytest.mark.parametrize("url", ["mysql://localhost/overread", "overread.db", "", "postgresql://host:port/overread"])
def test_another_database_is_refused_with_what_works(url: str) -> None:
    with pytest.raises(Misconfigured, match=r"sqlite:////.*postgresql://user@host"):
        Store(url)


def test_a_refused_url_is_not_repeated_since_it_may_hold_a_password() -> None:
    for url in ("postgresql://me:secret@host:port/overread", "secret", "mysql://me:secret@host/overread"):
        with pytest.raises(Misconfigured) as caught:
            Store(url)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("hours", [0, 9, -8])
def test_a_time_comes_back_in_utc_as_the_moment_that_it_was(store: Store, hours: int) -> None:
    time = datetime(2026, 7, 1, 12, 30, 15, 123456, tzinfo=timezone(timedelta(hours=hours)))
    with store.writing() as tx:
        deliveries.note_purge(tx, "room", "s-1", time)
        for query in (purges.c.time, func.max(purges.c.time)):
            found = tx.execute(select(query)).scalar_one()
            assert found == time
            assert found.utcoffset() == timedelta(0)
            assert found.replace(tzinfo=UTC) == time
        assert deliveries.was_purged_since(tx, "room", "s-1", time - timedelta(microseconds=1))
        assert not deliveries.was_purged_since(tx, "room", "s-1", time)


def test_an_insert_says_whether_there_was_anything_to_insert(store: Store) -> None:
    with store.writing() as tx:
        row = upsert(inbox).values(group="room", event="one").on_conflict_do_nothing()
        assert [tx.execute(row).rowcount for _ in range(2)] == [1, 0]


def test_a_broken_constraint_is_no_outage_and_repeats_no_value(store: Store) -> None:
    with pytest.raises(IntegrityError) as caught, store.writing() as tx:  # noqa: PT012 - so too
        for _ in range(2):
            tx.execute(insert(inbox).values(group="room", event="Doe^Jane"))
    assert "Doe^Jane" not in str(caught.value).partition("DETAIL")[0]


def test_processes_write_one_after_the_other_and_a_reader_misses_nothing(store: Store) -> None:
    """Each transaction reads a number, waits, and writes the next one: into the offsets, and into the outbox.

    Were it not its turn, two would read the same number. Did ids not rise in the order of commits, somebody who goes
    on after the last id that he saw would miss those that come late.
    """
    script = str(Path(__file__).with_name("writer.py"))
    writers = [subprocess.Popen([sys.executable, script, store.url, str(WRITES)]) for _ in range(WRITERS)]
    heard: list[int] = []
    last = 0
    try:
        while any(writer.poll() is None for writer in writers) or len(heard) < WRITERS * WRITES:
            with store.reading() as tx:
                rows = tx.execute(select(outbox).where(outbox.c.id > last).order_by(outbox.c.id)).all()
            heard += [int(row.key) for row in rows]
            last = rows[-1].id if rows else last
            if not rows and all(writer.poll() is not None for writer in writers):
                break
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    assert [writer.returncode for writer in writers] == [0] * WRITERS
    assert heard == list(range(WRITERS * WRITES))


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
        assert deliveries.handled(tx, "one", ["event"])
        assert not deliveries.handled(tx, "three", ["event"])
