"""A set that is too small says so at once, and what would help."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from experiment.conftest import TOML
from experiment.test_command import learn
from overread_learn.applications import load
from overread_learn.experiment import candidate_set
from overread_learn.experiment.candidate_set import CandidateSet, NotACandidateSet
from overread_learn.experiment.sides import check_held_out, check_labels
from overread_learn.nets import build

ENOUGH = {"train": "01", "validation": "01", "test": "01"}


def small(folder: Path, **patients: str) -> CandidateSet:
    """Patients with one label each, such as ``train="0011"``; their images are no images."""
    (folder / "images").mkdir(parents=True)
    lines = ["candidate_id,patient_id,image_id,split,x,y,label"]
    for side, labels in patients.items():
        for number, label in enumerate(labels):
            name = f"{side}{number}"
            split = "locked" if side == "test" else "" if side == "hashed" else side
            lines.append(f"{name},{name},{name},{split},3,4,{label}")
            (folder / "images" / f"{name}.png").write_bytes(b"nobody has read this")
    (folder / "candidates.csv").write_text("\n".join(lines))
    (folder / "dots.toml").write_text(TOML)
    return candidate_set.read(folder)


def made(folder: Path, **patients: str) -> CandidateSet:
    """As `small`, but that train patients are no validation patients by their hash."""
    chosen = small(folder, **patients)
    fixed = {row.patient: row.patient.rstrip("0123456789").replace("test", "locked") for row in chosen.rows}
    return chosen._replace(splits=fixed)


@pytest.mark.parametrize(
    ("patients", "least", "reason"),
    [
        ({"validation": ""}, 1, "too few validation patients: each class needs 1, and .* are 0 negative, 0 positive"),
        ({"validation": "00"}, 1, "too few validation patients: .* are 2 negative, 0 positive; name more patients val"),
        ({"train": "11"}, 1, "too few train patients: each class needs 1, and .* are 0 negative, 2 positive"),
        ({"validation": "001"}, 2, "too few validation patients: each class needs 2, and .* 2 negative, 1 positive"),
        ({"validation": "0011"}, 2, "too few test patients: each class needs 2, and .* 1 negative, 1 positive"),
        ({"test": "0"}, 1, "the test patients' labels are all of one class"),
        ({"test": ""}, 1, "no test patient has a label"),
        ({"test": "02"}, 1, "a label is 2"),
    ],
)
def test_what_is_too_small_says_what_is_missing(
    tmp_path: Path, patients: dict[str, str], least: int, reason: str
) -> None:
    chosen = made(tmp_path / "set", **{**ENOUGH, **patients})
    with pytest.raises(NotACandidateSet, match=reason):
        check_held_out(chosen, load(tmp_path / "set/dots.toml"), least)


def test_one_patient_of_each_class_is_enough_for_an_auc_and_two_for_an_interval(tmp_path: Path) -> None:
    application = load("fundus-microaneurysm")
    check_held_out(made(tmp_path / "one", **ENOUGH), application, 1)
    check_held_out(made(tmp_path / "two", **{**ENOUGH, "validation": "0011", "test": "0011"}), application, 2)


def test_where_nothing_is_chosen_no_validation_is_needed(tmp_path: Path) -> None:
    check_labels(made(tmp_path / "set", **{**ENOUGH, "validation": ""}), load("fundus-microaneurysm"))


@pytest.mark.parametrize(("command", "weights"), [("finetune", "none"), ("depth", "weights.pth")])
def test_the_commands_say_it_before_they_read_an_image(tmp_path: Path, command: str, weights: str) -> None:
    torch.save(build("squeezenet1_1", 2, None, seed=0).net.state_dict(), tmp_path / "weights.pth")
    small(tmp_path / "set", train="0101", test="0011")
    words = ("--candidates", tmp_path / "set", "--application", tmp_path / "set/dots.toml", "--out", tmp_path / "out")
    said = learn(command, *words, "--weights", weights if weights == "none" else tmp_path / weights, fails=True)
    assert "too few validation patients" in said
    assert "in the column split" in said
    assert not (tmp_path / "out").exists()
