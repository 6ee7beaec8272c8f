"""What a network says about candidates: the logits of their patches, and the mean probabilities."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from overread_learn.nets.classifier import Classifier

__all__ = ["device_of", "logits", "probabilities", "tensor"]

SCORED_AT_ONCE = 256
IMAGES = 4
"""Dimensions of a batch of patches, (n, 3, s, s)."""


def logits(model: Classifier, candidates: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float64]]:
    """Return the logits of each candidate's patches, (m_i, 3, s, s) to (m_i, classes). The model ends in eval mode."""
    model.eval()
    patches = np.concatenate(candidates)
    with torch.inference_mode():
        found = torch.cat(
            [
                model(tensor(model, patches[start : start + SCORED_AT_ONCE])).double()
                for start in range(0, len(patches), SCORED_AT_ONCE)
            ]
        )
    ends = np.cumsum([len(candidate) for candidate in candidates])[:-1]
    return np.split(found.cpu().numpy(), ends)


def probabilities(model: Classifier, candidates: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Return each candidate's mean patch probabilities, (n, classes): its score. The model ends in eval mode."""
    return np.stack(
        [torch.softmax(torch.from_numpy(found), dim=1).mean(dim=0).numpy() for found in logits(model, candidates)]
    )


def device_of(model: Classifier) -> torch.device:
    """Return where the model lives."""
    return next(model.parameters()).device


def tensor(model: Classifier, patches: NDArray[np.float32]) -> torch.Tensor:
    """Bring patches, (n, 3, s, s), to the model; features of any other shape go as they are."""
    there = torch.from_numpy(patches).to(device_of(model))
    # Channels last is 1.4 times faster on a CPU.
    return there.contiguous(memory_format=torch.channels_last) if there.dim() == IMAGES else there
