"""How good a score is: ROC, precision-recall, FROC, calibration, learning curves; errors that respect patients."""

from overread_learn.evaluate.bootstrap import PatientBootstrap, interval, percentiles, wide
from overread_learn.evaluate.calibration import Bin, brier, ece, reliability, temperature
from overread_learn.evaluate.curves import Summary, alc, labels_to_reach, summarise
from overread_learn.evaluate.froc import Froc, cpm, cpm_interval, froc_curve
from overread_learn.evaluate.paired import AUC, Difference, clustered_auc, paired_difference
from overread_learn.evaluate.pr import PrecisionRecall, average_precision, precision_recall
from overread_learn.evaluate.roc import Curve, OneClass, TooFewPatients, auc, macro_auc, partial_auc, roc_curve

__all__ = [
    "AUC",
    "Bin",
    "Curve",
    "Difference",
    "Froc",
    "OneClass",
    "PatientBootstrap",
    "PrecisionRecall",
    "Summary",
    "TooFewPatients",
    "alc",
    "auc",
    "average_precision",
    "brier",
    "clustered_auc",
    "cpm",
    "cpm_interval",
    "ece",
    "froc_curve",
    "interval",
    "labels_to_reach",
    "macro_auc",
    "paired_difference",
    "partial_auc",
    "percentiles",
    "precision_recall",
    "reliability",
    "roc_curve",
    "summarise",
    "temperature",
    "wide",
]
