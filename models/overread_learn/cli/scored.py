"""Candidates of a folder under an exported model: a pool to choose from, or scores to judge."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from overread_learn.acquisition import Pool, strategy
from overread_learn.acquisition.bounds import fault
from overread_learn.acquisition.representatives import LOOK_AT_LABELLED
from overread_learn.applications import Application
from overread_learn.experiment.candidate_set import LOCKED, TRAIN, VALIDATION, CandidateSet, NotACandidateSet, Row, read
from overread_learn.experiment.image_files import read_image
from overread_learn.patches import cut, prepare
from overread_learn.printing import err, warn
from overread_learn.scoring import Scorer

__all__ = ["Scores", "score_test", "scored_pool"]


class Scores(NamedTuple):
    """What a model says of some candidates, sorted by their images and ids."""

    rows: Sequence[Row]
    logits: NDArray[np.float32]
    """(n, m, classes)."""
    embeddings: NDArray[np.float32] | None
    """(n, d), the mean over the patches; None where the model gives none."""


def score_test(found: CandidateSet, scorer: Scorer) -> Scores:
    """Score the labelled candidates of a set's test patients; nobody else's, so a set may be of test patients alone.

    Raises NotACandidateSet where they lack a class, have one that the model does not know, or an image is none.
    """
    rows = [row for row in found.rows if row.label is not None and found.side(row.patient) == LOCKED]
    present = set(_counts(rows, scorer.application))
    if len(present) < 2:  # nothing could be measured
        raise NotACandidateSet(
            f"candidates.csv: the test patients' labels are of {len(present)} classes ({sorted(present)}), and a model "
            "is judged by how it tells two apart"
        )
    return _scores(found, rows, scorer)


def scored_pool(candidates: Path, scorer: Scorer, name: str, counts: Mapping[int, int] | None = None) -> Pool:
    """Return as a pool the train patients' candidates without a label; where all of those have one, all of them.

    Validation patients' are none: an epoch and a depth are chosen on them, and an AUC on what a strategy picked of them
    would be that of another population. How many have no label is said on stderr. ``counts`` by class, where None, are
    those of the train patients' labels; where nothing but labelled candidates can be chosen, the pool is as if none
    were known. What a strategy (``name``) of representatives must keep away from, the embeddings of what is labelled,
    comes along. Raises EmptyPool, NotACandidateSet, and what reading raises.
    """
    found = read(candidates)
    sides = {patient: found.side(patient) for patient in {row.patient for row in found.rows}}
    own = [row for row in found.rows if sides[row.patient] == TRAIN]
    waiting = sum(row.label is None and sides[row.patient] == VALIDATION for row in found.rows)
    if waiting:
        warn(
            f"{waiting} candidates without a label are of validation patients, and not among those to choose from: "
            "have all of them read, or a random part, for an AUC on picked ones would be wrong."
        )
    unread, labelled = [row for row in own if row.label is None], [row for row in own if row.label is not None]
    known = _counts(labelled, scorer.application)
    if own and not unread:
        warn(f"All {len(own)} candidates of train patients have a label: chosen among them as if none were known.")
        unread, labelled, known = labelled, [], {}
    counts = known if counts is None else counts
    scores = _scores(found, unread, scorer)
    looks = strategy(name).now(counts, len(scorer.application.classes)).draw in LOOK_AT_LABELLED
    return Pool.of(
        [row.candidate for row in scores.rows],
        scores.logits,
        embeddings=scores.embeddings,
        labelled=_scores(found, labelled, scorer).embeddings if labelled and looks else None,
        counts=counts,
    )


def _counts(rows: Sequence[Row], application: Application) -> Mapping[int, int]:
    """Return how many labels each class has. Raises NotACandidateSet on one that the application doesn't know."""
    counts = Counter(row.label for row in rows if row.label is not None)
    classes = len(application.classes)
    if max(counts, default=0) >= classes:
        raise NotACandidateSet(
            f"candidates.csv: a label is {max(counts)}, and application {application.name} knows 0 to {classes - 1}"
        )
    return counts


def _scores(found: CandidateSet, rows: Sequence[Row], scorer: Scorer) -> Scores:
    application = scorer.application
    rows = sorted(rows, key=lambda row: (row.image, row.candidate))
    logits: list[NDArray[np.float32]] = []
    embeddings: list[NDArray[np.float32]] = []
    images = [(name, list(mine)) for name, mine in groupby(rows, key=lambda row: row.image)]
    for name, mine in track(images, "scoring", console=err, transient=True):
        file = found.images[name]
        try:
            prepared = prepare(read_image(file), application)
        except NotACandidateSet:
            raise
        except ValueError as error:
            raise NotACandidateSet(f"{file}: {error}") from error
        for row in mine:
            try:
                patches = cut(prepared, row.x, row.y, application)
            except ValueError as error:
                raise NotACandidateSet(f"candidates.csv: {row.candidate}: {error}") from error
            said, embedding = scorer.embed(patches)
            if fault(said):  # nothing could be ranked or judged by it
                raise ValueError(f"candidate {row.candidate}: the model says a logit that is {fault(said)}")
            logits.append(said)
            if embedding is not None:
                embeddings.append(embedding.mean(axis=0))
    classes = len(application.classes)
    return Scores(
        rows,
        np.stack(logits) if logits else np.empty((0, application.patches, classes), np.float32),
        np.stack(embeddings) if embeddings else None,
    )
