from __future__ import annotations

from pathlib import Path

import pytest

from gateway.arrivals import Gateway
from overread.store.engine import Store


@pytest.fixture
def gateway(store: Store, tmp_path: Path) -> Gateway:
    return Gateway(store, tmp_path)
