from __future__ import annotations

from pathlib import Path

import pytest

from inference.pictures import Archive
from overread.registry import Registry
from overread.store.engine import Store
from registry.shelf import make_template, open_shelf
from rollout.networks import train
from rollout.room import Room


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("mlflow"))


@pytest.fixture
def registry(template: Path, tmp_path: Path) -> Registry:
    return open_shelf(template, tmp_path)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Real networks: an untrained one, two that learnt the pictures, and one of them with its head turned round."""
    return train(tmp_path_factory.mktemp("models"))


@pytest.fixture
def room(store: Store, registry: Registry, archive: Archive, models: dict[str, bytes]) -> Room:
    return Room(store, registry, archive, models)
