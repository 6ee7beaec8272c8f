"""Classifiers by torchvision name."""

from overread_learn.nets.classifier import Classifier, build, check_input, from_bytes, parameters_by_role, to_bytes
from overread_learn.nets.weights import WeightsUnavailable

__all__ = ["Classifier", "WeightsUnavailable", "build", "check_input", "from_bytes", "parameters_by_role", "to_bytes"]
