from __future__ import annotations

import errno
import hashlib
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import pytest

from overread.core.errors import StoreUnavailable
from overread.store.blobs import Blobs

CONTENT = b"pixels" * 1000
KEY = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(params=["folder", "memory"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    return Blobs(str(tmp_path / "blobs") if request.param == "folder" else f"memory://{uuid4().hex}")


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_blob_comes_back_under_its_own_digest(blobs: Blobs) -> None:
    assert blobs.put(CONTENT) == KEY
    assert blobs.get(KEY) == CONTENT
    assert blobs.get(blobs.put(b"")) == b""


def test_what_is_deleted_is_gone_and_may_be_deleted_again(blobs: Blobs) -> None:
    blobs.put(CONTENT)
    blobs.delete(KEY)
    blobs.delete(KEY)
    with pytest.raises(FileNotFoundError):
        blobs.get(KEY)
    assert blobs.put(CONTENT) == KEY
    assert blobs.get(KEY) == CONTENT


def test_the_same_bytes_are_kept_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = Blobs(str(tmp_path))
    blobs.put(CONTENT)
    monkeypatch.setattr(os, "fsync", _must_not_be_called)
    assert blobs.put(CONTENT) == KEY
    assert files(tmp_path) == [KEY]


def _must_not_be_called(_: int) -> None:
    pytest.fail("it was written again")


def test_a_crash_before_the_rename_leaves_no_blob(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def killed(_: int) -> None:
        raise Killed

    blobs = Blobs(str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", killed)
        with pytest.raises(Killed):
            blobs.put(CONTENT)
    with pytest.raises(FileNotFoundError):
        blobs.get(KEY)
    assert blobs.put(CONTENT) == KEY
    assert blobs.get(KEY) == CONTENT


def test_a_write_error_leaves_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    blobs = Blobs(str(tmp_path))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreUnavailable, match="No space left"):
        blobs.put(CONTENT)
    assert files(tmp_path) == []


def test_a_blob_and_every_folder_on_its_way_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def sync(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    blobs = Blobs(str(tmp_path))
    monkeypatch.setattr(os, "fsync", sync)
    blobs.put(CONTENT)
    draft, *folders = synced
    assert Path(draft).name.startswith("draft-")
    assert folders == [str(tmp_path / KEY[:2]), str(tmp_path)]


def test_a_disk_that_would_run_full_is_spared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = Blobs(str(tmp_path), reserve=1 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=(1 << 20) + len(CONTENT) - 1))
    with pytest.raises(StoreUnavailable, match="blobs_reserve_mb"):
        blobs.put(CONTENT)
    assert files(tmp_path) == []
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=(1 << 20) + len(CONTENT)))
    assert blobs.put(CONTENT) == KEY
