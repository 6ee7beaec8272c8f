"""From M(t-1) and the labels to M(t)."""

from overread_learn.evaluate.roc import OneClass
from overread_learn.finetune.checkpoint import OtherTraining
from overread_learn.finetune.interpolation import Interpolated, choose, interpolate, reestimate
from overread_learn.finetune.predict import logits, probabilities
from overread_learn.finetune.rates import recipe
from overread_learn.finetune.restart import Drift, drift
from overread_learn.finetune.step import Diverged, Fitted, finetune
from overread_learn.finetune.strategies import STRATEGIES, Plan, Strategy, misclassified, plan
from overread_learn.finetune.temperature import cooled, recalibrated
from overread_learn.finetune.terms import EpochReport, Recipe, Samples, Validation

__all__ = [
    "STRATEGIES",
    "Diverged",
    "Drift",
    "EpochReport",
    "Fitted",
    "Interpolated",
    "OneClass",
    "OtherTraining",
    "Plan",
    "Recipe",
    "Samples",
    "Strategy",
    "Validation",
    "choose",
    "cooled",
    "drift",
    "finetune",
    "interpolate",
    "logits",
    "misclassified",
    "plan",
    "probabilities",
    "recalibrated",
    "recipe",
    "reestimate",
]
