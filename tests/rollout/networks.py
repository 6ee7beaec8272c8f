"""Networks of known worth, trained on the pictures within seconds."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch

from inference.pictures import APPLICATION, MIDDLE, picture
from overread_learn.export import export
from overread_learn.finetune import Recipe, finetune
from overread_learn.nets import Classifier, build
from overread_learn.patches import augment, cut, prepare


class _Samples:
    def __init__(self, count: int, first: int) -> None:
        self.labels = np.arange(count) % 2
        self.prepared = [
            prepare(picture(int(label), first + place), APPLICATION) for place, label in enumerate(self.labels)
        ]

    def __len__(self) -> int:
        return len(self.labels)

    def draw(self, index: int, rng: np.random.Generator) -> np.ndarray:
        return augment(self.prepared[index], MIDDLE, MIDDLE, APPLICATION, rng, 1.0)

    def patches(self) -> list[np.ndarray]:
        return [cut(one, MIDDLE, MIDDLE, APPLICATION, 1.0).copy() for one in self.prepared]


def _fit(model: Classifier, seed: int) -> Classifier:
    application = APPLICATION
    train, validation = _Samples(48, 5000), _Samples(24, 6000)
    recipe = Recipe(
        rate=application.rate,
        head_rate=application.head_rate,
        gamma=application.gamma,
        epochs=6,
        momentum=application.momentum,
        batch=16,
        seed=seed,
        balance=True,
    )
    fitted = finetune(model, train, (validation.patches(), validation.labels), recipe)
    assert fitted.auc_validation > 0.95, "these networks were to be good ones"
    return fitted.model


def _flip(model: Classifier) -> Classifier:
    flipped = copy.deepcopy(model)
    head = flipped.net.get_submodule(flipped.head)
    with torch.no_grad():
        for name in ("weight", "bias"):
            values = getattr(head, name)
            values.copy_(values.flip(0).clone())
    return flipped


def train(folder: Path) -> dict[str, bytes]:
    """Return ONNX files by name: bootstrap, good, better, flipped."""
    start = build("squeezenet1_1", 2, None, 5)
    good = _fit(start, 1)
    found = {"bootstrap": start, "good": good, "better": _fit(good, 2), "flipped": _flip(good)}
    files = {}
    for name, model in found.items():
        path = folder / f"{name}.onnx"
        export(model, APPLICATION, path, extra={})
        files[name] = path.read_bytes()
    return files
