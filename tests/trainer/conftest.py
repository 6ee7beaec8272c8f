from __future__ import annotations

from pathlib import Path

import pytest

from inference.pictures import Archive
from overread.registry import Registry
from registry.shelf import make_template, open_shelf


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("mlflow"))


@pytest.fixture
def registry(template: Path, tmp_path: Path) -> Registry:
    return open_shelf(template, tmp_path)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)
