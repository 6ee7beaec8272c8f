"""`overread replay`: times mean what they say, and what failed can be tried again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, inspect

import overread.replay
from cli.said import Run
from overread.cli.rebuilt import rebuilt
from overread.core.errors import BusUnavailable, Misconfigured
from overread.replay import Replayed
from overread.store.engine import Store
from overread.store.tables import outbox, settled_letters

ROW = {
    "topic": "t",
    "letter": "l",
    "outcome": "dropped",
    "name": "n",
    "reason": "r",
    "time": datetime(2026, 3, 4, tzinfo=UTC),
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[datetime | None]:
    """Until when a replay was asked to go."""
    found: list[datetime | None] = []

    def note(*_: Any, until: datetime | None, **__: Any) -> Replayed:
        found.append(until)
        return Replayed(0, 0, 0)

    monkeypatch.setattr(overread.replay, "replay", note)
    return found


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bus that goes away when something is rebuilt already."""

    def fail(_bus: Any, into: Store, **_: Any) -> None:
        with into.writing() as tx:
            tx.execute(insert(settled_letters).values(ROW))
        raise BusUnavailable("nobody is there")

    monkeypatch.setattr(overread.replay, "replay", fail)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-11-29T00:00:00+01:00", datetime(2026, 11, 28, 23, tzinfo=UTC)),
        ("2026-11-28T18:30:00-05:30", datetime(2026, 11, 29, tzinfo=UTC)),
        ("2026-11-29T00:00:00Z", datetime(2026, 11, 29, tzinfo=UTC)),
        ("2026-11-29T00:00:00", datetime(2026, 11, 29, tzinfo=UTC)),
        ("2026-11-29", datetime(2026, 11, 29, tzinfo=UTC)),
    ],
)
def test_a_time_with_an_offset_is_that_time_and_one_without_is_utc(
    overread: Run, asked: list[datetime | None], text: str, meant: datetime
) -> None:
    assert overread("replay", "--into", "rebuilt.db", "--until", text).code == 0
    assert asked == [meant]


@pytest.mark.usefixtures("asked")
def test_help_says_which_time_is_meant(overread: Run) -> None:
    assert "Without an offset, such as +01:00, it is UTC." in overread("replay", "--help").out


@pytest.mark.usefixtures("away")
def test_a_replay_that_fails_leaves_no_file_and_can_be_tried_again(overread: Run, tmp_path: Path) -> None:
    before = {*tmp_path.iterdir(), tmp_path / "overread-data"}
    for _ in range(2):
        said = overread("replay", "--into", "rebuilt.db")
        assert said.code == 2
        assert "nobody is there" in said.err
        assert set(tmp_path.iterdir()) == before


@pytest.mark.usefixtures("away")
def test_what_was_there_before_is_never_removed(overread: Run, tmp_path: Path) -> None:
    for into in ("taken", f"sqlite:///{tmp_path}/taken"):
        (tmp_path / "taken").write_text("somebody's")
        assert "not empty" in overread("replay", "--into", into).err
        assert (tmp_path / "taken").read_text() == "somebody's"


@pytest.mark.usefixtures("asked")
def test_an_empty_name_is_refused_and_not_thrown_away(overread: Run) -> None:
    for arguments in (("--into", ""), ("--into", " "), ("--into", "", "--verify")):
        said = overread("replay", *arguments)
        assert (said.code, said.out) == (2, "")
        assert "--into is empty" in said.err


def interrupted(into: str) -> None:
    with rebuilt(into) as target:
        with target.writing() as tx:
            tx.execute(insert(settled_letters).values(ROW))
        raise KeyboardInterrupt


def test_either_database_is_empty_again_after_a_failure_and_whole_without_one(empty: str) -> None:
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            interrupted(empty)
    with rebuilt(empty):
        pass
    made = Store(empty)
    with made.reading() as tx:
        assert outbox.name in inspect(tx).get_table_names()
    made.close()
    with pytest.raises(Misconfigured, match="not empty"), rebuilt(empty):
        pass


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    for into in ("sqlite://", "://", "sqlite://host:nonsense/x", "mysql://host/x"):
        with pytest.raises(Misconfigured), rebuilt(into):
            pass
    assert not list(tmp_path.iterdir())
