from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from experiment.conftest import write_set
from overread_learn.applications import load
from overread_learn.experiment import candidate_set
from overread_learn.experiment.candidate_set import LOCKED, NotACandidateSet
from overread_learn.experiment.image_files import read_image
from overread_learn.experiment.material import Material, Subset, gather
from overread_learn.patches import augment, cut, prepare


def test_pieces_give_the_patches_of_the_whole_image(dots: Path, material: Material) -> None:
    index = material.ids.index("p03-2")
    prepared = prepare(read_image(dots / "images/i03.png"), material.application)
    assert np.array_equal(material.patches(index), cut(prepared, 20, 36, material.application))
    drawn = material.draw(index, np.random.default_rng(5))
    assert np.allclose(drawn, augment(prepared, 20, 36, material.application, np.random.default_rng(5)), atol=1e-5)
    assert material.patches(index, 2).shape == (2, 3, 32, 32)


def test_an_image_that_is_everybodys_piece_is_kept_once(dots: Path, tmp_path: Path) -> None:
    (tmp_path / "shares.toml").write_text(
        (dots / "dots.toml").read_text().replace("24.0", "0.5").replace('"px"', '"image"')
    )
    shares = load(tmp_path / "shares.toml")
    found = gather(candidate_set.read(dots), shares, tmp_path)
    prepared = prepare(read_image(dots / "images/i03.png"), shares)
    (pieces,) = tmp_path.glob("pieces*.bin")
    assert pieces.stat().st_size == 20 * prepared.pixels.nbytes  # of 80 candidates
    for name, x, y in (("p03-2", 20, 36), ("p03-3", 40, 40)):
        assert np.array_equal(found.patches(found.ids.index(name)), cut(prepared, x, y, shares))


def test_patients_never_cross_a_split(material: Material) -> None:
    sides = {}
    for patient, test in zip(material.patients, material.test, strict=True):
        assert sides.setdefault(patient, bool(test)) is bool(test)
    assert {patient for patient, test in sides.items() if test} == {"p00", "p04", "p08", "p12", "p16"}
    assert not (material.test & material.validation).any()


def test_a_set_without_a_split_is_split_by_patients(tmp_path: Path) -> None:
    found = candidate_set.read(write_set(tmp_path / "set", split=False))
    sides = {row.patient: found.side(row.patient) for row in found.rows}
    assert 1 <= sum(side == LOCKED for side in sides.values()) <= 10
    again = candidate_set.read(tmp_path / "set")
    assert {row.patient: again.side(row.patient) for row in again.rows} == sides


def test_what_was_gathered_is_used_again_and_other_rules_gather_anew(dots: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    chosen, application = candidate_set.read(dots), load(dots / "dots.toml")
    gather(chosen, application, tmp_path, lambda *done: seen.append(done))
    assert seen[-1] == (20, 20)
    gather(chosen, application, tmp_path, lambda *done: seen.append(done))
    assert len(seen) == 20
    (tmp_path / "wide.toml").write_text((dots / "dots.toml").read_text().replace("24.0", "30.0"))
    gather(chosen, load(tmp_path / "wide.toml"), tmp_path, lambda *done: seen.append(done))
    assert len(seen) == 40


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (",12,12,", ",99,12,", "outside the image"),
        (",12,12,0", ",12,12,2", "a label is 2, and application dots knows 0 to 1"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, before: str, after: str, reason: str) -> None:
    folder = write_set(tmp_path / "set")
    text = (folder / "candidates.csv").read_text()
    assert before in text
    (folder / "candidates.csv").write_text(text.replace(before, after, 1))
    with pytest.raises(NotACandidateSet, match=reason):
        gather(candidate_set.read(folder), load(folder / "dots.toml"), tmp_path / "out")


def test_a_side_of_one_class_is_refused(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set")
    lines = (folder / "candidates.csv").read_text().splitlines()
    lines = [line[:-1] + "0" if ",test," in line else line for line in lines]
    (folder / "candidates.csv").write_text("\n".join(lines))
    with pytest.raises(NotACandidateSet, match="the test patients' labels are all of one class"):
        gather(candidate_set.read(folder), load(folder / "dots.toml"), tmp_path / "out")


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.full((48, 56), 4095, np.uint16), r"i07\.npy: background subtraction needs grey levels 0\.\.255, got 4095"),
        (np.zeros((48, 56, 4), np.uint8), r"i07\.npy: an image must be \(H, W\) or \(H, W, 3\)"),
    ],
)
def test_an_image_that_the_application_cannot_take_is_named(
    tmp_path: Path, pixels: NDArray[np.integer], reason: str
) -> None:
    folder = write_set(tmp_path / "set")
    (folder / "images/i07.png").unlink()
    np.save(folder / "images/i07.npy", pixels)
    with pytest.raises(NotACandidateSet, match=reason):
        gather(candidate_set.read(folder), load("fundus-microaneurysm"), tmp_path / "out")


def test_a_subset_draws_its_own(material: Material) -> None:
    subset = Subset(material, [4, 7])
    assert len(subset) == 2
    assert list(subset.labels) == list(material.labels[[4, 7]])
    drawn = subset.draw(1, np.random.default_rng(0))
    assert np.array_equal(drawn, material.draw(7, np.random.default_rng(0)))
