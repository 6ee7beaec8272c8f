"""How good a score is: ROC curves, and AUCs whose errors respect that one patient has many candidates."""

from overread_learn.evaluate.paired import AUC, Difference, clustered_auc, paired_difference
from overread_learn.evaluate.roc import Curve, OneClass, auc, roc_curve

__all__ = ["AUC", "Curve", "Difference", "OneClass", "auc", "clustered_auc", "paired_difference", "roc_curve"]
