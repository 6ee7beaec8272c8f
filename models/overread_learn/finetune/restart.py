"""Has the chain of small steps drifted? A network that restarts from M0 on all labels answers it.

Continual fine-tuning costs a fraction of a restart, and now and then has to show that it loses nothing by it.
"""

from dataclasses import dataclass

from overread_learn.evaluate.roc import macro_auc
from overread_learn.finetune.predict import probabilities
from overread_learn.finetune.terms import Validation
from overread_learn.nets.classifier import Classifier

__all__ = ["Drift", "drift"]


@dataclass(frozen=True)
class Drift:
    """Two ways to learn the same labels, on the same validation candidates."""

    auc_continued: float
    auc_restarted: float
    margin: float

    @property
    def drifted(self) -> bool:
        """Whether the restart is better by more than the margin: the next round had better start from it."""
        return self.auc_restarted - self.auc_continued > self.margin


def drift(continued: Classifier, restarted: Classifier, validation: Validation, margin: float) -> Drift:
    """Compare the network that went on from its parent with one that restarted from M0 on all labels.

    ``margin``, in AUC, is what a restart must win by: choose it above the noise of the validation set (the standard
    error of `overread_learn.evaluate.paired_difference` says how large that is). Raises OneClass where validation lacks
    a class, ValueError on a negative margin.
    """
    if margin < 0:
        raise ValueError(f"the margin must be 0 or more, got {margin}")
    patches, truth = validation
    return Drift(
        auc_continued=macro_auc(truth, probabilities(continued, patches)),
        auc_restarted=macro_auc(truth, probabilities(restarted, patches)),
        margin=margin,
    )
