"""From a network to a version in the registry: exported, and held against what PyTorch computes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from overread.core.errors import Misconfigured
from overread.core.events import Kind
from overread.registry import Registry
from overread_learn.applications import Application
from overread_learn.export import export, parity
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
) -> tuple[int, str]:
    """Put the exported file and the weights on the shelf, once an identity; returns version and SHA-256.

    Raises:
        Misconfigured: the exported file computes something else than the network.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        sha256 = export(model, application, path, extra={"overread.kind": kind})
        size = application.input_px
        probe = np.random.default_rng(0).normal(size=(32, 3, size, size)).astype(np.float32)
        difference = parity(model, path, probe)
        if difference > PARITY:
            raise Misconfigured(f"the exported model differs from PyTorch by {difference:.1e} (limit {PARITY})")
        return registry.register(
            identity,
            model=path.read_bytes(),
            weights=to_bytes(model, application),
            tags={"kind": kind, "sha256": sha256, "application": application.name, **lineage},
            parameters={"arch": model.arch, "seed": seed, **lineage},
            metrics={**numbers, "parity": difference},
        )
