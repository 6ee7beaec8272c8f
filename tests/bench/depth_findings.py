"""A study of a network of three depths whose findings are made up: what they show is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from overread_learn.depth import Depth
from overread_learn.experiment.ranks import packed

PATIENTS = 50
BLOCKS = {1: "head", 2: "stage-head", 3: "stem-head", "scratch": "scratch"}
SECONDS = {1: 4.0, 2: 10.0, 3: 100.0, "scratch": 100.0}

TAUGHT = {
    (10, 1): 0.2, (10, 2): 1.5, (10, 3): 0.9, (10, "scratch"): 0.1,
    (100, 1): 0.4, (100, 2): 2.0, (100, 3): 2.1, (100, "scratch"): 1.7,
}  # fmt: skip
"""How far positives score above negatives, in standard deviations, by share and depth."""


def facts(taught: Mapping[tuple[int, Depth], float] = TAUGHT, seeds: int = 2) -> dict[str, Any]:
    """All depths of a seed share its noise; the validation AUC stands for how far they set the classes apart."""
    truth = np.tile([0, 0, 0, 1], PATIENTS)
    findings = []
    for seed in range(seeds):
        noise = np.random.default_rng(seed).normal(size=len(truth))
        for (share, depth), apart in taught.items():
            scores = noise + apart * truth
            findings.append(
                {
                    "arch": "squeezenet1_1", "share": share, "labels": 10 * share, "depth": depth,
                    "blocks": BLOCKS[depth], "seed": seed, "auc_validation": apart / 3, "se_validation": 0.05,
                    "seconds": 2 * SECONDS[depth], "core_seconds": SECONDS[depth], "validation_core_seconds": 2.0,
                    "ranks": packed(scores[:, np.newaxis]), "commit": "abc",
                }
            )  # fmt: skip
    setting = {"arch": "squeezenet1_1", "recipe": {"epochs": 24}, "most": 1000, "validation": 300}
    setting |= {"workers": 2, "threads": 1, "machine": "x86_64, 2 cores"}
    patients = np.repeat(np.arange(PATIENTS), 4).tolist()
    return {"setting": setting, "test": {"labels": truth.tolist(), "patients": patients}, "findings": findings}
