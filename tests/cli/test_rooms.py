"""`overread run`: a room says where it is found, and takes that back only while it is its own word."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.said import Run
from overread.house import House

ANOTHER = {"pid": 1, "health": 2, "port": None}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "overread-data" / "run" / "rollout.json"


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Let a room's work be this, and end with it."""

    class Short:
        def __init__(self, act: Callable[[], None]) -> None:
            self._act = act

        def run(self, _stop: threading.Event) -> None:
            self._act()

    return lambda act: monkeypatch.setattr(House, "worker", lambda *_: Short(act))


@pytest.mark.network
def test_a_room_that_ends_is_found_no_more(overread: Run, file: Path, work: Callable[..., None]) -> None:
    found: list[int] = []
    work(lambda: found.append(json.loads(file.read_text())["pid"]))
    assert overread("run", "rollout").code == 0
    assert found == [os.getpid()]
    assert not file.exists()


@pytest.mark.network
def test_a_room_that_ends_leaves_the_word_of_another_process(
    overread: Run, file: Path, work: Callable[..., None]
) -> None:
    work(lambda: file.write_text(json.dumps(ANOTHER)) and None)
    assert overread("run", "rollout").code == 0
    assert json.loads(file.read_text()) == ANOTHER


@pytest.mark.network
def test_a_room_whose_word_is_gone_ends_all_the_same(overread: Run, file: Path, work: Callable[..., None]) -> None:
    work(file.unlink)
    assert overread("run", "rollout").code == 0
