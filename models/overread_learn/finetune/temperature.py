"""A network whose probabilities mean what they say, so that they may be held against the version before.

Each round leaves the network surer or less sure of itself: the same probability would mean something else, and entropy
rank other candidates first. Temperature is fitted on validation candidates (`overread_learn.evaluate.temperature`) and
put into the head of what serves: the exported file needs no other code. What learns on keeps its own weights. A head
that is divided round by round ends far from where the learning rates fit (ResNet-18 on a toy whose validation
patients were all told apart: 1e5 times as large after six rounds).

It mends sureness alone. A patch at .5 of two classes stays there, so an operating point of .5 calls whom it called; and
a network that was trained on balanced classes says what is so among balanced classes.
"""

import copy

import torch

from overread_learn.evaluate.calibration import temperature
from overread_learn.finetune.predict import logits
from overread_learn.finetune.terms import Validation
from overread_learn.nets.classifier import Classifier, parameters_by_role

__all__ = ["cooled", "recalibrated"]


def recalibrated(model: Classifier, validation: Validation) -> tuple[Classifier, float]:
    """Return what is to serve, at the temperature that suits the validation labels, and that temperature.

    ``model`` stays as it is: the next round goes on from it.
    """
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
