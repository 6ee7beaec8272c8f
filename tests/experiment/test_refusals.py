"""What is wrong with a command's words is said at once: before images are read and before a process starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiment.conftest import TOML
from experiment.console import Console
from overread_learn.applications import load
from overread_learn.nets import build, to_bytes

FAULTS = [
    (("--training", "foo"), "--training: unknown 'foo'; known are RFT(LQ), AFT(LQ)"),
    (("--arch", "foo"), "unknown network 'foo'"),
    (("--strategies", "random,foo"), "unknown strategy 'foo'"),
    (("--budgets", "12,many"), "--budgets: '12,many' is no list of whole numbers"),
    (("--budgets", "12,0"), "budgets must be whole numbers from 1"),
    (("--prevalence", "2"), "a prevalence lies between 0 and 1"),
    (("--rates", "foo"), "rates are own or papers, got 'foo'"),
]


@pytest.mark.parametrize(("words", "complaint"), FAULTS, ids=lambda each: each if isinstance(each, str) else each[0])
def test_labels_looks_at_its_words_before_the_images(
    learn: Console, tmp_path: Path, words: tuple[str, ...], complaint: str
) -> None:
    out = tmp_path / "out"
    said = learn("labels", "--candidates", tmp_path / "nowhere", "--weights", "none", "--out", out, *words)
    assert said.code == 2
    assert complaint in said.err
    assert not out.exists()


@pytest.mark.parametrize("command", ["labels", "finetune", "depth"])
def test_patches_too_small_for_the_network_are_refused_before_the_images(
    learn: Console, tmp_path: Path, command: str
) -> None:
    small = tmp_path / "small.toml"
    small.write_text(TOML.replace("input_px = 32", "input_px = 8"))
    words = ("--candidates", tmp_path / "nowhere", "--application", small, "--out", tmp_path / "out")
    said = learn(command, *words, *(() if command == "depth" else ("--weights", "none")))
    assert said.code == 2
    assert "squeezenet1_1 can't take patches of 8 x 8 px (input_px)" in said.err


def test_depth_looks_at_its_words_before_the_images(learn: Console, network: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights.pth"
    weights.write_bytes((network / "model.pt").read_bytes())
    words = ("depth", "--candidates", tmp_path / "nowhere", "--weights", weights, "--out", tmp_path / "out")
    assert "a share is 1 to 100 per cent, got [0]" in learn(*words, "--sizes", "0").err
    assert "unknown network 'foo'" in learn(*words, "--arch", "foo").err


def test_a_parent_of_other_classes_is_refused_before_the_images(learn: Console, dots: Path, tmp_path: Path) -> None:
    (tmp_path / "three.pt").write_bytes(to_bytes(build("squeezenet1_1", 3, None, seed=0)))
    words = ("--candidates", tmp_path / "nowhere", "--application", dots / "dots.toml", "--out", tmp_path / "out")
    said = learn("finetune", *words, "--parent", tmp_path / "three.pt")
    assert "three.pt has 3 classes, application dots 2" in said.err
