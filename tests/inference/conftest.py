from __future__ import annotations

from pathlib import Path

import pytest

from inference.pictures import Archive, export
from overread.registry import Registry
from registry.shelf import make_template, open_shelf


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("mlflow"))


@pytest.fixture
def registry(template: Path, tmp_path: Path) -> Registry:
    return open_shelf(template, tmp_path)


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """Two exported networks that say different things."""
    folder = tmp_path_factory.mktemp("networks")
    return export(folder, 1), export(folder, 2)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)
