"""While selection waits it counts, and loads nothing; when it chooses it loads what the strategy looks at."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import event

from databases import create_tables, opened
from inference.words import NOON, corrected, promoted, received, registered
from overread.core.splits import Split
from overread.store.engine import Store
from overread.trainer import scores
from overread.trainer.selection import STALLED_SECONDS
from trainer.test_selection import CHAMPION, Room, scored

OTHER = "b" * 64
NONE = scores.Scored(0, 0)


def test_scoring_comes_on_while_ever_fewer_lack_the_champions_logits() -> None:
    """Minutes after noon, what is missing of how many, and since when it has come no further."""
    arrears = scores.Arrears(NOON)
    story = [
        (1, "a", 1000, 900, 1),  # a new champion
        (2, "a", 1000, 400, 2),
        (3, "a", 1000, 4, 3),
        (5, "a", 1001, 5, 3),  # one arrives,
        (6, "a", 1001, 4, 3),  # and is scored
        (9, "a", 1500, 504, 9),  # a burst
        (10, "a", 1500, 300, 10),
        (12, "a", 1500, 300, 10),
        (13, "b", 1500, 1500, 13),
        (14, "b", 1500, 1499, 14),
    ]
    for minute, model, candidates, missing, since in story:
        group = scores.Scored(candidates, candidates - missing)
        found = arrears.since(model, (group, NONE), NOON + timedelta(minutes=minute))
        assert found == NOON + timedelta(minutes=since), (minute, model)
    assert arrears.since("b", (group, scores.Scored(9, 8)), NOON + timedelta(minutes=15)).minute == 15
    assert arrears.since("b", (group, scores.Scored(9, 9)), NOON + timedelta(minutes=16)).minute == 16
    assert arrears.since("b", (group, scores.Scored(9, 9)), NOON + timedelta(minutes=17)).minute == 16


@pytest.fixture
def store(house: str) -> Iterator[Store]:
    """A database of its own, with every room's tables, on SQLite and on PostgreSQL."""
    yield from opened(house)


@contextmanager
def read_from(store: Store) -> Iterator[set[str]]:
    """The columns of scores that are read meanwhile."""
    found: set[str] = set()

    def note(*call: Any) -> None:
        chosen = call[2].partition("FROM")[0]
        found.update(name for name in ("logits", "embedding") if f"trainer_scores.{name}" in chosen)

    event.listen(store.engine, "before_cursor_execute", note)
    yield found
    event.remove(store.engine, "before_cursor_execute", note)


def embedded(number: int, model: str = CHAMPION) -> Any:
    row = base64.b64encode(np.array([number, number**2], "<f2").tobytes()).decode()
    return scored(number, model).model_copy(update={"embedding": row})


@pytest.mark.parametrize("strategy", ["entropy", "coreset"])
def test_nothing_is_loaded_before_a_choice_is_made(store: Store, strategy: str) -> None:
    """Selection looks twice a second, and a large pool takes an hour to be scored again."""
    room = Room(store, strategy=strategy)
    room.crown()
    for number in range(20):
        room.hear(received(number), embedded(number))
    room.hear(registered(2, OTHER), promoted(2, OTHER))
    with read_from(store) as columns:
        assert room.ask() == []
        room.hear(*(embedded(number, OTHER) for number in range(17)))
        assert room.ask() == []
        room.now += timedelta(seconds=STALLED_SECONDS - 1)
        assert room.ask() == []
    assert columns == set()
    room.now += timedelta(seconds=2)
    with read_from(store) as columns:
        assert len(room.ask()) == 4
    assert columns == ({"logits", "embedding"} if strategy == "coreset" else {"logits"})


def test_what_is_counted_is_what_would_be_loaded(store: Store) -> None:
    room = Room(store)
    for number, split in enumerate([Split.TRAIN] * 6 + [Split.VALIDATION, Split.LOCKED]):
        room.hear(received(number, split=split))
    room.hear(scored(90), *(scored(number) for number in range(4)), scored(4, OTHER))  # 5 has no score, 90 no candidate
    room.hear(corrected(0), corrected(4), corrected(6, split=Split.VALIDATION))
    with store.reading() as tx:
        assert scores.count(tx, CHAMPION, read=False) == (4, 3)
        assert scores.count(tx, CHAMPION, read=True) == (2, 1)
        assert scores.count(tx, OTHER, read=True) == (2, 1)
        rows = scores.unread(tx, CHAMPION, embeddings=False)
    assert sorted(row.candidate for row in rows) == ["c-001", "c-002", "c-003"]
    assert scores.pool(rows).logits.shape == (6, 2)


def test_the_database_counts_within_its_indexes(tmp_path: Path) -> None:
    """To look at each row of scores, which holds logits and an embedding, was most of what counting cost.

    On SQLite: PostgreSQL goes by its statistics, and reads a small table whole.
    """
    url = f"sqlite:///{tmp_path}/overread.db"
    create_tables(url)
    statements: list[tuple[str, Any]] = []
    for store in opened(url):
        with store.reading() as tx:
            event.listen(store.engine, "before_cursor_execute", lambda *call: statements.append((call[2], call[3])))
            scores.count(tx, CHAMPION, read=False)
            asked = [(f"EXPLAIN QUERY PLAN {said}", values) for said, values in statements]
            steps = [row.detail for said, values in asked for row in tx.exec_driver_sql(said, values)]
    assert len(steps) == 3
    assert all("USING COVERING INDEX" in step for step in steps), steps
