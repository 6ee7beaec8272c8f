"""What a round does with its labels: fine-tune, hold on to what is in use, check for drift, recalibrate.

The last three are safeguards that AIFT does not have. Weights between the champion's and the new ones often rank better
than either (WiSE-FT); a network that restarts from M0 on all labels shows, every few rounds, whether small steps have
lost something by now; and a temperature fitted on validation patients keeps a probability meaning the same from version
to version.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from overread import metrics
from overread.config import Trainer
from overread.trainer.depth import ALL, Depth, Found, beside, deep
from overread.trainer.labels import Neighbourhoods
from overread_learn.depth import Held, finetune_last
from overread_learn.evaluate.roc import macro_auc
from overread_learn.finetune import (
    Diverged,
    Drift,
    EpochReport,
    Fitted,
    OneClass,
    OtherTraining,
    Recipe,
    Validation,
    choose,
    drift,
    probabilities,
    recalibrated,
)
from overread_learn.nets import Classifier

log = logging.getLogger(__name__)

SHARES = (0.25, 0.5, 0.75, 1.0)
"""Of the way from the champion to the new weights. Not 0: a challenger that is the champion has nothing to prove."""


class Networks(NamedTuple):
    """What a round starts from; both stay as they are."""

    start: Classifier
    deployed: bool
    """Whether `start` is a champion that has learnt something: it is held on to."""
    m0: Classifier | None
    """What never saw a label, where drift is to be looked for."""


class Learnt(NamedTuple):
    """The challenger, and how it came about."""

    model: Classifier
    auc_validation: float
    best_epoch: int
    trained_on: int
    """Candidates that it trained on."""
    share: float = 1.0
    """Of the way from the champion's weights; 1 where nothing was interpolated."""
    temperature: float = 1.0
    """By which its logits are divided where it serves, not in `model`; 1 where nothing was recalibrated."""
    drift: Drift | None = None
    """Where it was looked for."""
    depth: Depth = ALL

    @property
    def restarted(self) -> bool:
        """Whether the challenger is the network that restarted from M0."""
        return self.drift is not None and self.drift.drifted

    def lineage(self) -> dict[str, str]:
        """Return how it came about, in words for the registry."""
        found = {
            "trained_on": str(self.trained_on),
            "interpolated": f"{self.share:g}",
            "temperature": f"{self.temperature:.4g}",
            **self.depth.lineage(self.model),
        }
        if self.drift:
            found["drift"] = "restarted from M0 on all labels, not interpolated" if self.restarted else "none"
        return found

    def figures(self) -> dict[str, float]:
        """Return its numbers: AUCs on validation patients, and the epoch that was kept."""
        found = {"auc_validation": self.auc_validation, "best_epoch": float(self.best_epoch), **self.depth.figures()}
        if self.drift:
            found |= {"auc_continued": self.drift.auc_continued, "auc_restarted": self.drift.auc_restarted}
        return found


class Terms(NamedTuple):
    """How every training of a round is done."""

    held: Held
    """Validation patients' candidates."""
    recipe: Recipe
    restart: Recipe
    """The same of a restart from M0."""
    on_epoch: Callable[[EpochReport], None]
    found: Found | None = None
    """What the last search for a depth said."""

    @property
    def validation(self) -> Validation:
        """Those candidates' patches and labels."""
        return self.held[:2]


def learn(
    networks: Networks,
    samples: Neighbourhoods,
    indices: NDArray[np.intp],
    terms: Terms,
    settings: Trainer,
    *,
    checkpoint: Path | None,
) -> Learnt:
    """Train on those of the samples that `indices` names; a restart from M0 learns them all.

    A checkpoint of the same training is gone on from, bit for bit; another's is removed. The restart, and each depth of
    a search, have files of their own beside it, so that a round killed there repeats no epoch of any. The restart
    trains as deep as the round.

    Raises:
        ValueError, Diverged: as `overread_learn.finetune.finetune`.
    """
    train = samples.part(indices)
    if len(np.unique(train.labels)) < 2:
        raise OneClass(f"no two classes among the {len(train)} labels that {settings.training} trains on")
    restarting = checkpoint.with_stem(f"{checkpoint.stem}-restart") if checkpoint else None
    _clear(checkpoint)
    depth = deep(settings, terms.found, len(samples), networks.start, train, terms.held, terms.recipe, checkpoint)
    if depth.searched is not None and depth.blocks and checkpoint:
        checkpoint = beside(checkpoint, depth.blocks)  # the search has trained it
    fitted = _fit(networks.start, train, terms, depth, checkpoint)
    learnt = Learnt(fitted.model, fitted.auc_validation, fitted.best_epoch, len(train), depth=depth)
    if settings.interpolate and networks.deployed:
        held_on = (networks.start, learnt.model, train, terms.validation, terms.recipe)
        between = choose(*held_on, SHARES, depth.blocks)
        learnt = learnt._replace(model=between.model, auc_validation=between.auc, share=between.share)
    if networks.m0:
        learnt = _unless_drifted(learnt, networks.m0, samples, terms, settings.drift_margin, restarting)
    if settings.recalibrate:
        served, temperature = recalibrated(learnt.model, terms.validation)
        # The mean over the patches is taken of probabilities: their order may change a little.
        figure = macro_auc(terms.validation[1], probabilities(served, terms.validation[0]))
        learnt = learnt._replace(auc_validation=figure, temperature=temperature)
    _clear(checkpoint, all_of_it=True)
    return learnt


def _unless_drifted(
    learnt: Learnt, m0: Classifier, samples: Neighbourhoods, terms: Terms, margin: float, checkpoint: Path | None
) -> Learnt:
    """Return what was learnt, with the check; or the restart, as it is, where that is better by the margin."""
    log.info("drift check: M0 learns all labels", extra={"labels": len(samples)})
    try:
        fitted = _fit(m0, samples, terms._replace(recipe=terms.restart), learnt.depth, checkpoint)
    except Diverged as error:  # no reason to lose the round
        log.warning("no drift check", extra={"reason": str(error)})
        return learnt
    found = drift(learnt.model, fitted.model, terms.validation, margin)
    metrics.drift_auc.labels("continued").set(found.auc_continued)
    metrics.drift_auc.labels("restarted").set(found.auc_restarted)
    if not found.drifted:
        return learnt._replace(drift=found)
    log.warning("drifted", extra={"continued": found.auc_continued, "restarted": found.auc_restarted})
    return Learnt(fitted.model, found.auc_restarted, fitted.best_epoch, len(samples), drift=found, depth=learnt.depth)


def _fit(start: Classifier, samples: Neighbourhoods, terms: Terms, depth: Depth, checkpoint: Path | None) -> Fitted:
    fit = partial(
        finetune_last,
        *(start, depth.blocks, samples, terms.validation, terms.recipe),
        on_epoch=terms.on_epoch,
        checkpoint=checkpoint,
    )
    try:
        return fit()
    except OtherTraining as error:  # pixels purged since, a setting changed, or a file that can't be read
        log.warning("checkpoint put aside", extra={"reason": str(error)})
        if checkpoint:
            checkpoint.unlink()
        return fit()


def _clear(checkpoint: Path | None, *, all_of_it: bool = False) -> None:
    """Remove the checkpoints in the folder of this one: a round that is not under way needs none."""
    if checkpoint:
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        for path in checkpoint.parent.glob("*.pt"):
            if all_of_it or not path.stem.startswith(checkpoint.stem):
                path.unlink()
