"""Classifiers by torchvision name."""

from overread_learn.nets.classifier import (
    Classifier,
    application_of,
    build,
    check_input,
    from_bytes,
    parameters_by_role,
    temperature_of,
    to_bytes,
)
from overread_learn.nets.weights import WeightsUnavailable

__all__ = [
    "Classifier",
    "WeightsUnavailable",
    "application_of",
    "build",
    "check_input",
    "from_bytes",
    "parameters_by_role",
    "temperature_of",
    "to_bytes",
]
