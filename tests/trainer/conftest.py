from __future__ import annotations

from pathlib import Path

import pytest
import torch

from inference.pictures import Archive
from overread.registry import Registry
from overread.store.engine import Store
from overread_learn.nets import build
from registry.shelf import make_template, open_shelf
from trainer.room import Room


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
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of a trunk, as an administrator would bring it: no test downloads anything."""
    path = tmp_path_factory.mktemp("weights") / "squeeze.pth"
    torch.save(build("squeezenet1_1", 2, None, 5).net.state_dict(), path)
    return path


@pytest.fixture
def room(store: Store, registry: Registry, archive: Archive, weights: Path) -> Room:
    return Room(store, registry, archive, weights)
