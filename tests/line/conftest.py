from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from line.hospital import Hospital


@pytest.fixture
def hospital(tmp_path: Path) -> Iterator[Callable[[int], Hospital]]:
    opened: list[Hospital] = []

    def build(studies: int) -> Hospital:
        opened.append(Hospital(tmp_path, studies))
        return opened[-1]

    yield build
    for one in opened:
        one.close()
