"""A network whose probabilities mean the same as its parent's did, so that the operating point holds.

Each round leaves the network surer or less sure of itself, and a threshold on the probability then calls more or fewer
candidates than it did. Temperature is fitted on validation candidates (`overread_learn.evaluate.temperature`) and put
into the head: the exported file needs no other code. It mends sureness alone: a network that was trained on balanced
classes says what is so among balanced classes.
"""

import copy

import torch

from overread_learn.evaluate.calibration import temperature
from overread_learn.finetune.predict import logits
from overread_learn.finetune.terms import Validation
from overread_learn.nets.classifier import Classifier, parameters_by_role

__all__ = ["cooled", "recalibrated"]


def recalibrated(model: Classifier, validation: Validation) -> tuple[Classifier, float]:
    """Return a copy of the network at the temperature that suits the validation labels, and that temperature."""
    patches, truth = validation
    fitted = temperature(truth, logits(model, patches))
    return cooled(model, fitted), fitted


def cooled(model: Classifier, t: float) -> Classifier:
    """Return a copy whose logits are those of ``model`` over ``t``: the last layer is linear, so its weights shrink.

    Raises ValueError where ``t`` is not above 0.
    """
    if t <= 0:
        raise ValueError(f"a temperature is above 0, got {t}")
    copied = copy.deepcopy(model).eval()
    _, head = parameters_by_role(copied)
    with torch.no_grad():
        for value in head.values():
            value.div_(t)
    return copied
