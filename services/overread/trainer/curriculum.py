"""On which labels a round trains, and from which network: the rows of ACFT's Table 2, for a line of models in service.

In the paper every M(t) is the next one's parent. Here a challenger may be rejected, and a champion rolled back: a label
is new to a round where no version in its parent's line has learnt it as it stands now. An amended label is new again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from overread.config import Trainer
from overread.core.errors import Misconfigured
from overread.store.engine import upsert
from overread.trainer import strategies
from overread.trainer.labels import Labelled, Neighbourhoods
from overread.trainer.tables import trainer_labels, trainer_learnt, trainer_rounds
from overread_learn.applications import Application
from overread_learn.finetune import STRATEGIES, misclassified, plan, probabilities
from overread_learn.finetune.rates import check_rates
from overread_learn.nets import Classifier

SCORED_AT_ONCE = 64
"""Candidates whose patches are in memory together."""


class Beginning(NamedTuple):
    """From which versions a round starts."""

    version: int
    """The champion, or the bootstrap where the row says M0."""
    deployed: bool
    """Whether that is a champion that has learnt something: there is something to hold on to."""
    m0: int | None
    """The bootstrap, where this round also looks for drift."""
    known: frozenset[tuple[str, int]]
    """What the champion has learnt: candidates, each with its label's version."""


def check(settings: Trainer, application: Application) -> None:
    """Refuse a row that there is not, or that the strategy makes another one, and rates that the application lacks.

    Raises:
        Misconfigured: naming the setting, and what to write.
    """
    if settings.training not in STRATEGIES:
        raise Misconfigured(f"trainer.training: {settings.training!r} is none of {', '.join(STRATEGIES)}")
    row = STRATEGIES[settings.training]
    if not (strategies.check(settings).at_random or row.active):
        same = next(name for name, other in STRATEGIES.items() if other == replace(row, active=True))
        raise Misconfigured(
            f"trainer.training: the labels of {settings.training} are drawn at random, and trainer.strategy is "
            f"{settings.strategy}, which chooses them: that is {same}. Write trainer.training={same}, or "
            "trainer.strategy=random"
        )
    try:
        check_rates(settings.rates, application)
    except ValueError as error:
        raise Misconfigured(f"trainer.rates: {error}; write trainer.rates=own") from error


def beginning(tx: Connection, settings: Trainer, number: int, champion: int) -> Beginning:
    """Return where the round of this number starts.

    A row that starts from M0 has no chain of small steps, and neither has a round on the bootstrap: nothing can drift
    there. Where an import was promoted before there was a bootstrap, the champion is all there is.
    """
    m0 = tx.execute(select(trainer_rounds.c.version).where(trainer_rounds.c.round == 0)).scalar()
    known = _learnt_by(tx, champion)
    if m0 is not None and STRATEGIES[settings.training].start == "m0":
        return Beginning(m0, False, None, known)
    deployed = champion != m0
    due = deployed and settings.drift_every > 0 and number % settings.drift_every == 0
    return Beginning(champion, deployed, m0 if due else None, known)


class Planned(NamedTuple):
    """What a round trains on."""

    indices: NDArray[np.intp]
    """Into the samples."""
    new: list[Labelled]
    """Q: what no version in the parent's line has learnt."""


def planned(
    settings: Trainer, network: Classifier, samples: Neighbourhoods, known: frozenset[tuple[str, int]], seed: int
) -> Planned:
    """Return what the round trains on; `network` is where it starts, `known` is what its parent has learnt.

    The rehearsal's reservoir is as large as Q.
    """
    learns = STRATEGIES[settings.training].learns
    new = np.array([(one.candidate, one.version) not in known for one, _ in samples.kept], np.bool_)
    wrong = np.zeros(len(samples), np.bool_)
    earlier = np.flatnonzero(~new) if "H" in learns else np.zeros(0, np.intp)
    for start in range(0, len(earlier), SCORED_AT_ONCE):
        some = earlier[start : start + SCORED_AT_ONCE]
        said = probabilities(network, [samples.patches(int(index)) for index in some])
        wrong[some] = misclassified(samples.labels[some], said)
    reservoir = int(new.sum()) if "R" in learns else 0
    found = plan(settings.training, samples.labels, new, wrong, seed=seed, reservoir=reservoir)
    return Planned(found.indices, [one for (one, _), mark in zip(samples.kept, new, strict=True) if mark])


def _learnt_by(tx: Connection, version: int) -> frozenset[tuple[str, int]]:
    """Return what a version and those before it in its line have learnt."""
    rounds = {
        row.version: row
        for row in tx.execute(select(trainer_rounds).where(trainer_rounds.c.version.is_not(None))).all()
    }
    line, at = [], rounds.get(version)  # an import has no round: nobody knows what it has learnt
    while at is not None:
        line.append(at.round)
        at = rounds.get(at.parent)
    table = trainer_learnt
    rows = tx.execute(select(table.c.candidate, table.c.version).where(table.c.round.in_(line)))
    return frozenset((row.candidate, row.version) for row in rows)


def remember(tx: Connection, number: int, new: Sequence[Labelled]) -> set[str]:
    """Enter what a registered round knew and its parent did not; return its studies.

    What was purged meanwhile is left out.
    """
    study = {row.candidate: row.study for row in tx.execute(select(trainer_labels.c.candidate, trainer_labels.c.study))}
    rows = [
        {"round": number, "candidate": one.candidate, "study": study[one.candidate], "version": one.version}
        for one in new
        if one.candidate in study
    ]
    if rows:
        tx.execute(upsert(trainer_learnt).on_conflict_do_nothing(), rows)
    return {row["study"] for row in rows}
