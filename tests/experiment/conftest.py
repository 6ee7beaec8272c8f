from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from experiment.console import Console
from overread_learn.applications import load
from overread_learn.experiment import candidate_set
from overread_learn.experiment.learner import Learner
from overread_learn.experiment.material import Material, gather
from overread_learn.experiment.protocol import Protocol
from overread_learn.export import export
from overread_learn.nets import build, to_bytes

TOML = """
name = "dots"
classes = ["negative", "positive"]
context = 24.0
context_unit = "px"
input_px = 32
patches = 3
scales = [1.0, 0.9]
shifts = [[0.0, 0.0], [0.1, 0.0]]
normalisation = { kind = "window", low = 0.0, high = 255.0 }
mean = [0.5, 0.5, 0.5]
std = [0.25, 0.25, 0.25]
alpha = 0.25
rate = 1e-3
head_rate = 1e-3
gamma = 0.95
epochs = 1
momentum = 0.9
"""
PATIENTS = 20
SPOTS = ((12, 12), (30, 18), (20, 36), (40, 40))


def write_set(folder: Path, *, split: bool = True) -> Path:
    """20 patients with one image of four places each, a third of them bright."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    rows = []
    for patient in range(PATIENTS):
        pixels = rng.integers(60, 120, (48, 56))
        for number, (x, y) in enumerate(SPOTS):
            label = int(rng.random() < 1 / 3)
            if label:
                pixels[y - 3 : y + 4, x - 3 : x + 4] += 120
            side = "test" if patient % 4 == 0 else "train"
            rows.append((f"p{patient:02}-{number}", f"p{patient:02}", f"i{patient:02}", side, x, y, label))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / "images" / f"i{patient:02}.png")
    with (folder / "candidates.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("candidate_id", "patient_id", "image_id", *(["split"] if split else []), "x", "y", "label"))
        table.writerows(row if split else (*row[:3], *row[4:]) for row in rows)
    (folder / "dots.toml").write_text(TOML)
    return folder


@pytest.fixture(scope="session")
def dots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("dots") / "set")


@pytest.fixture(scope="session")
def material_folder(dots: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("material")
    gather(candidate_set.read(dots), load(dots / "dots.toml"), folder)
    return folder


@pytest.fixture(scope="session")
def material(dots: Path, material_folder: Path) -> Material:
    return Material(material_folder, load(dots / "dots.toml"))


@pytest.fixture(scope="session")
def protocol(material: Material) -> Protocol:
    return Protocol(
        application=material.application.to_json(),
        arch="squeezenet1_1",
        weights="none",
        material=material.digest,
        budgets=(12, 8),
        patches=3,
    )


@pytest.fixture(scope="session")
def learner(material: Material, protocol: Protocol) -> Learner:
    return Learner(material, protocol, None)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def learn(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Console:
    return Console(monkeypatch, capsys)


@pytest.fixture(scope="session")
def network(dots: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model.pt, of an untrained network for dots, and the same as model.onnx."""
    folder = tmp_path_factory.mktemp("network")
    application = load(dots / "dots.toml")
    model = build("squeezenet1_1", 2, None, seed=0)
    (folder / "model.pt").write_bytes(to_bytes(model, application))
    export(model, application, folder / "model.onnx", extra={})
    return folder
