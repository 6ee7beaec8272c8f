"""The synthetic set is a set like any other, and neither hopeless nor trivial."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiment.console import Console
from overread_learn.applications import load
from overread_learn.evaluate import auc
from overread_learn.experiment import candidate_set
from overread_learn.experiment.candidate_set import CandidateSet, Row
from overread_learn.experiment.demo_eye import SIDE, draw_eye
from overread_learn.experiment.demo_set import CANDIDATES, NotEmpty, demo_set
from overread_learn.experiment.material import Material, gather

PATIENTS = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo_set(tmp_path_factory.mktemp("demo") / "set", patients=PATIENTS, seed=3)


@pytest.fixture(scope="module")
def chosen(folder: Path) -> CandidateSet:
    return candidate_set.read(folder)


@pytest.fixture(scope="module")
def material(chosen: CandidateSet, tmp_path_factory: pytest.TempPathFactory) -> Material:
    return gather(chosen, load("fundus-microaneurysm"), tmp_path_factory.mktemp("material"))


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def share(rows: list[Row]) -> float:
    return sum(row.label or 0 for row in rows) / len(rows)


def test_it_is_a_candidate_set(chosen: CandidateSet, material: Material) -> None:
    assert len(chosen.rows) == len(material) == PATIENTS * CANDIDATES
    assert len({row.patient for row in chosen.rows}) == len(chosen.images) == PATIENTS
    assert material.left_out == 0
    assert len({material.patients[index] for index in np.flatnonzero(material.test)}) == PATIENTS / 4
    assert material.patches(0).shape == (8, 3, 64, 64)


@pytest.mark.parametrize("prevalence", [0.02, 0.1, 0.4])
def test_the_prevalence_is_as_asked_on_either_side(prevalence: float, tmp_path: Path) -> None:
    chosen = candidate_set.read(demo_set(tmp_path / "set", patients=4, prevalence=prevalence))
    for locked in (True, False):
        rows = [row for row in chosen.rows if (chosen.side(row.patient) == candidate_set.LOCKED) is locked]
        assert share(rows) == pytest.approx(prevalence, abs=0.5 / len(rows))


def test_some_patients_have_many_lesions_and_some_have_few(chosen: CandidateSet) -> None:
    shares = [
        share([row for row in chosen.rows if row.patient == name]) for name in {row.patient for row in chosen.rows}
    ]
    assert min(shares) < 0.04
    assert max(shares) > 0.2


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(folder: Path, tmp_path: Path) -> None:
    again = digests(demo_set(tmp_path / "again", patients=PATIENTS, seed=3))
    assert again == digests(folder)
    other = digests(demo_set(tmp_path / "other", patients=4, seed=4))
    assert not set(other.values()) & set(again.values())


def test_it_is_small(folder: Path) -> None:
    assert sum(path.stat().st_size for path in folder.rglob("*")) < 180_000 * PATIENTS


def test_pictures_are_those_of_an_eye(folder: Path) -> None:
    for file in sorted((folder / "images").iterdir())[:3]:
        with Image.open(file) as image:
            pixels = np.asarray(image.convert("RGB"), np.float64)
        assert pixels.shape == (SIDE, SIDE, 3)
        assert pixels[:8, :8].max() == 0
        red, green, blue = pixels[200:312, 200:312].mean(axis=(0, 1))
        assert 255 > red > green > blue > 0


def test_spots_keep_apart_and_away_from_the_edge(chosen: CandidateSet) -> None:
    for name in chosen.images:
        places = np.array([(row.x, row.y) for row in chosen.rows if row.image == name], np.float64)
        assert np.hypot(*(places - SIDE / 2).T).max() < 210
        distances = np.hypot(*(places[:, None] - places).T)
        assert distances[np.triu_indices(len(places), 1)].min() > 20


def test_a_lesion_is_dark_and_darkness_alone_does_not_tell_it(material: Material) -> None:
    centres = np.array([material.patches(index, 1)[0][:, 29:35, 29:35].mean() for index in range(len(material))])
    around = np.array([material.patches(index, 1)[0].mean() for index in range(len(material))])
    darkness, lesion = around - centres, material.labels == 1
    assert (darkness[lesion] > 0).mean() > 0.95
    assert 0.55 < auc(lesion, darkness) < 0.9


def test_more_spots_than_have_room_come_closer() -> None:
    picture, spots = draw_eye(np.zeros(150, bool), np.random.default_rng(0))
    assert len(spots) == 150
    assert picture.size == (SIDE, SIDE)


def test_who_waits_hears_of_each_image(tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    demo_set(tmp_path / "set", patients=5, on_image=lambda done, total: heard.append((done, total)))
    assert heard == [(number, 5) for number in range(1, 6)]


def test_what_was_drawn_is_said_for_machines(learn: Console, tmp_path: Path) -> None:
    words = ("demo-set", "--out", tmp_path / "set", "--patients", "8")
    facts = learn(*words, "--json").facts
    chosen = candidate_set.read(tmp_path / "set")
    assert facts == {
        "folder": str(tmp_path / "set"),
        "patients": len(chosen.images),
        "candidates": len(chosen.rows),
        "prevalence": 0.1,
        "seed": 0,
    }
    assert "Invalid value for '--seed'" in learn(*words, "--seed", "-1").err


def test_a_folder_that_holds_something_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(NotEmpty, match="not an empty folder"):
        demo_set(tmp_path, patients=4)
    with pytest.raises(NotEmpty, match=r"notes\.txt is not an empty folder"):
        demo_set(tmp_path / "notes.txt", patients=4)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    (tmp_path / "empty").mkdir()
    assert (demo_set(tmp_path / "empty", patients=4) / "candidates.csv").is_file()


@pytest.mark.parametrize("prevalence", [-0.1, 0, 0.001, 0.999, 1, 1.5])
def test_a_prevalence_without_both_classes_is_refused(prevalence: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lesions among"):
        demo_set(tmp_path / "set", patients=4, prevalence=prevalence)
    assert not (tmp_path / "set").exists()


def test_fewer_patients_than_a_test_set_needs(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 4 patients"):
        demo_set(tmp_path / "set", patients=3)
