"""From M(t-1) and the labels to M(t)."""

from overread_learn.evaluate.roc import OneClass
from overread_learn.finetune.step import Diverged, EpochReport, Fitted, Recipe, Samples, finetune

__all__ = ["Diverged", "EpochReport", "Fitted", "OneClass", "Recipe", "Samples", "finetune"]
