"""The map says what the builder builds: no handler more, none less, each for the event that its row names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from overread import config
from overread.bootstrap import build
from overread.house import House
from overread.topology import DUTY, LINE, ROOMS


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    # A cluster that nobody reaches: rooms are built, and no word is said.
    opened = House(config.load(data=tmp_path_factory.mktemp("house"), bus_url="kafka://127.0.0.1:9"))
    yield opened
    opened.close()


def named(thing: Any) -> str:
    """As the map writes it: without the package's name."""
    return f"{type(thing).__module__.removeprefix('overread.')}.{type(thing).__name__}"


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_is_built_as_the_map_draws_it(name: str, house: House) -> None:
    room = build(house, name)
    built = {(handler.consumes, named(handler)) for handler in room.handlers}
    built |= {(DUTY, named(duty)) for duty in room.duties}
    drawn = {(row.consumes, row.handler) for row in LINE if row.room == name}
    assert built == {(heard, handler) for heard, handler in drawn if heard == DUTY or isinstance(heard, type)}
