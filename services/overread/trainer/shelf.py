"""From a network to a version in the registry: exported as it serves, and held against what PyTorch computes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from overread.core.errors import Misconfigured
from overread.core.events import Kind
from overread.registry import Registry
from overread_learn.applications import Application
from overread_learn.export import export, parity
from overread_learn.finetune import cooled
from overread_learn.nets import Classifier, to_bytes

PARITY = 1e-4
"""Largest difference of probabilities between PyTorch and the exported file."""


def put(
    registry: Registry,
    application: Application,
    identity: str,
    model: Classifier,
    kind: Kind,
    lineage: dict[str, str],
    numbers: dict[str, float],
    *,
    seed: int,
    temperature: float = 1.0,
) -> tuple[int, str]:
    """Put the exported file and the weights on the shelf, once an identity; returns version and SHA-256.

    The file's logits are divided by the ``temperature``; the weights, from which the next round goes on, are not.

    Raises:
        Misconfigured: the exported file computes something else than the network.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        served = cooled(model, temperature)
        sha256 = export(served, application, path, extra={"overread.kind": kind})
        size = application.input_px
        probe = np.random.default_rng(0).normal(size=(32, 3, size, size)).astype(np.float32)
        difference = parity(served, path, probe)
        if difference > PARITY:
            raise Misconfigured(f"the exported model differs from PyTorch by {difference:.1e} (limit {PARITY})")
        return registry.register(
            identity,
            model=path.read_bytes(),
            weights=to_bytes(model, application, temperature=temperature),
            tags={"kind": kind, "sha256": sha256, "application": application.name, **lineage},
            parameters={"arch": model.arch, "seed": seed, **lineage},
            metrics={**numbers, "parity": difference},
        )
