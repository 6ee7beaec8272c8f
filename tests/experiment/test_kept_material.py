"""What was gathered is used again only for the very same images, and nothing that fails leaves half of it behind."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiment.conftest import write_set
from overread_learn.applications import load
from overread_learn.experiment import candidate_set
from overread_learn.experiment.candidate_set import NotACandidateSet
from overread_learn.experiment.material import Material, gather


class Gathered:
    """A set, and a folder that keeps what is gathered of it."""

    def __init__(self, folder: Path) -> None:
        self.set, self.kept = write_set(folder / "set"), folder / "kept"
        self.read = 0

    def __call__(self) -> Material:
        self.read = 0
        return gather(candidate_set.read(self.set), load(self.set / "dots.toml"), self.kept, self._on_image)

    def _on_image(self, done: int, _: int) -> None:
        self.read = done

    def image(self, name: str) -> Path:
        return self.set / "images" / f"{name}.png"


@pytest.fixture
def gathered(tmp_path: Path) -> Gathered:
    return Gathered(tmp_path)


def everything(material: Material) -> bytes:
    return b"".join(material.patches(index).tobytes() for index in range(len(material)))


def darken(file: Path) -> None:
    with Image.open(file) as image:
        dark = np.asarray(image) // 2
    Image.fromarray(dark).save(file)


def test_what_was_copied_in_part_is_gathered_anew(gathered: Gathered) -> None:
    before = everything(gathered())
    (pieces,) = gathered.kept.glob("pieces-*.bin")
    table = gathered.kept / "material.json"
    for content in (pieces.read_bytes()[:-8], b""):
        pieces.write_bytes(content)
        assert everything(gathered()) == before
        assert gathered.read == 20
        (pieces,) = gathered.kept.glob("pieces-*.bin")
    for content in (b"", b"[]", b"{"):
        table.write_bytes(content)
        assert everything(gathered()) == before
        assert gathered.read == 20
    gathered()
    assert gathered.read == 0


def test_images_that_changed_are_gathered_anew(gathered: Gathered) -> None:
    first = gathered()
    before = everything(first)
    darken(gathered.image("i19"))
    second = gathered()
    assert gathered.read == 20
    assert second.digest == first.digest  # the table is the same
    assert second.images_sha256 != first.images_sha256
    index = second.ids.index("p19-0")
    assert second.patches(index).mean() < first.patches(index).mean()
    assert everything(first) == before, "who has mapped the earlier pieces keeps them"


def test_a_change_that_keeps_size_and_time_is_seen(gathered: Gathered) -> None:
    file = gathered.set / "images/i19.npy"
    with Image.open(gathered.image("i19")) as image:
        np.save(file, np.asarray(image))
    gathered.image("i19").unlink()
    first, status = gathered(), file.stat()
    np.save(file, np.load(file) // 2)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert gathered().images_sha256 != first.images_sha256


def test_a_copy_of_the_same_images_is_not(gathered: Gathered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = gathered()
    shutil.copytree(gathered.set, tmp_path / "copy")
    gathered.set = tmp_path / "copy"
    again = gathered()
    assert gathered.read == 0
    assert again.images_sha256 == first.images_sha256
    monkeypatch.setattr("overread_learn.experiment.fingerprints.fingerprint", None)
    gathered()  # and from then on nothing is read
    assert gathered.read == 0


def _truncated(gathered: Gathered) -> None:
    content = gathered.image("i19").read_bytes()
    gathered.image("i19").write_bytes(content[: len(content) // 2])


def _outside(gathered: Gathered) -> None:
    table = gathered.set / "candidates.csv"
    before, _, after = table.read_text().rpartition(",40,40,")
    table.write_text(f"{before},99,40,{after}")


@pytest.mark.parametrize(("spoil", "reason"), [(_truncated, r"i19\.png: not an image"), (_outside, "p19-3: point")])
def test_what_fails_leaves_what_was_there(
    gathered: Gathered, tmp_path: Path, spoil: Callable[[Gathered], None], reason: str
) -> None:
    before, held = everything(gathered()), {file.name for file in gathered.kept.iterdir()}
    shutil.copytree(gathered.set, tmp_path / "sound")
    for image in sorted((gathered.set / "images").iterdir())[:19]:
        darken(image)
    spoil(gathered)
    with pytest.raises(NotACandidateSet, match=reason):
        gathered()
    assert {file.name for file in gathered.kept.iterdir()} == held
    gathered.set = tmp_path / "sound"
    assert everything(gathered()) == before
    assert gathered.read == 0


def test_one_that_changes_while_they_are_read_is_refused(gathered: Gathered) -> None:
    def meanwhile(done: int, _: int) -> None:
        if done == 10:
            darken(gathered.image("i03"))

    with pytest.raises(NotACandidateSet, match="one of them changed while they were read"):
        gather(candidate_set.read(gathered.set), load(gathered.set / "dots.toml"), gathered.kept, meanwhile)
    assert not list(gathered.kept.iterdir())


def test_what_an_older_version_or_nobody_holds_is_gathered_anew(gathered: Gathered) -> None:
    gathered()
    table = json.loads((gathered.kept / "material.json").read_text())
    old = {"format": 2, "digest": table["digest"]}
    (gathered.kept / "material.json").write_text(json.dumps(old))
    (gathered.kept / "pieces.bin").write_bytes(b"old")
    gathered()
    assert gathered.read == 20
    (pieces,) = gathered.kept.glob("pieces*")
    pieces.unlink()
    gathered()
    assert gathered.read == 20
