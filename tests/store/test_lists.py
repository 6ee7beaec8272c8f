"""A list of words as one parameter, on both databases."""

from __future__ import annotations

from sqlalchemy import insert, select

from overread.core.clock import utc_now
from overread.store import deliveries
from overread.store.engine import Store
from overread.store.lists import each, listed
from overread.store.tables import inbox, purges

ODD = [
    "plain",
    "a 'quote'",
    'a "double"',
    "back\\slash",
    "\\u0000",
    "%s %(name)s :name ?",
    "ü\u2028\U0001f600",
    "",
    "[1]",
]


def test_each_word_is_a_row_whatever_it_holds(store: Store) -> None:
    with store.reading() as tx:
        assert tx.execute(select(each(ODD))).scalars().all() == ODD


def test_no_word_no_row(store: Store) -> None:
    with store.reading() as tx:
        assert tx.execute(select(each([]))).all() == []


def test_a_list_may_be_longer_than_a_statement_may_have_parameters(store: Store) -> None:
    words = [f"word {number}" for number in range(70_000)]
    with store.writing() as tx:
        assert deliveries.enter(tx, "room", words) == set(words)
        assert deliveries.enter(tx, "room", [*words, "new"]) == {"new"}
        assert deliveries.handled(tx, "room", words) == set(words)


def test_only_the_listed_are_found(store: Store) -> None:
    with store.writing() as tx:
        tx.execute(insert(inbox), [{"group": "room", "event": word} for word in ODD])
        found = tx.execute(select(inbox.c.event).where(inbox.c.event.in_(listed(ODD[1:4])))).scalars()
        assert set(found) == set(ODD[1:4])


def test_a_word_with_a_nul_is_found_as_postgresql_keeps_it(store: Store) -> None:
    with store.writing() as tx:
        tx.execute(insert(purges).values(group="room", study="a\ufffdb", time=utc_now()))
        assert set(deliveries.purged(tx, "room", ["a\0b"])) == {"a\ufffdb"}
