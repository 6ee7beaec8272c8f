"""A real MLflow on SQLite. Making its schema takes seconds, so it is made once and copied."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

from overread.registry import Registry

NAME = "overread-lung-nodule"


def make_template(folder: Path) -> Path:
    """An MLflow database with nothing in it."""
    path = folder / "template.db"
    Registry(f"sqlite:///{path}", folder, "none").versions()
    with sqlite3.connect(path) as connection:  # nothing stays in a journal
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path


def open_shelf(template: Path, folder: Path) -> Registry:
    """A registry of its own in `folder`."""
    folder.mkdir(exist_ok=True)
    shutil.copy(template, folder / "mlflow.db")
    registry = Registry(f"sqlite:///{folder}/mlflow.db", folder / "models", NAME)
    registry.prepare()
    return registry


def model_file(folder: Path, version: int) -> Path:
    """Where a version's ONNX file lies, for a hand that should leave it alone."""
    files = sorted((folder / "models").rglob("model.onnx"), key=lambda path: path.stat().st_mtime_ns)
    return files[version - 1]
