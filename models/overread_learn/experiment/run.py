"""One run: a strategy spends the budgets on a pool, and after each the network's AUC on the test patients is taken."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from overread_learn.acquisition import Pool, select, strategy
from overread_learn.acquisition.patterns import tally
from overread_learn.acquisition.representatives import LOOK_AT_LABELLED
from overread_learn.acquisition.strategy import Strategy
from overread_learn.evaluate.roc import macro_auc
from overread_learn.experiment.learner import Learner, Scored
from overread_learn.experiment.oracle import FORESIGHT, MARKS, ORACLE, PROPOSALS, oracle
from overread_learn.experiment.protocol import pool_of, round_seed
from overread_learn.experiment.ranks import packed
from overread_learn.finetune import STRATEGIES, OneClass, misclassified, plan
from overread_learn.nets import Classifier
from overread_learn.scoring import softmax

__all__ = ["run"]


class _State(NamedTuple):
    model: Classifier
    seed: int
    learnt: frozenset[int]
    """Whose answers a round has learnt: empty while the model is M0."""
    answers: dict[int, int]
    """What the simulated reader said, by place in the material."""


class _Taken(NamedTuple):
    picks: list[int]
    logits: NDArray[np.float32]
    """Of the picks, before they were learnt."""
    state: _State
    scores: NDArray[np.float64]
    """Of the test candidates."""
    auc: float


def run(learner: Learner, name: str, seed: int, on_step: Callable[[int], None] | None = None) -> dict[str, Any]:
    """Run one strategy with one seed, which fixes the pool, the network's head, the picks and the training.

    While the answers are all of one class nothing is trained, and the point on the curve is that of the model so far;
    of more classes two are enough to learn, and a cold start goes on until there are all. Returns ``{strategy, seed,
    pool, positives_in_pool, flipped, steps}``; each step holds ``labels`` and ``positives`` so far, ``auc``,
    ``seconds``, ``picks`` (ids), ``patterns`` (how many picks of each of AIFT's), ``histogram`` (of the picks' patch
    probabilities of the class that the pattern is of: the last of two, the likeliest of more) and the packed ``ranks``
    of the test scores. ``on_step`` hears each number of labels.
    """
    protocol, material = learner.protocol, learner.material
    chosen = _named(name)
    pool = pool_of(material.labels, material.test, protocol.prevalence, seed)
    truth = _said(material.labels, pool, protocol.label_noise, seed, len(learner.application.classes))
    state = _State(learner.blank(seed) if chosen.restart else learner.start(seed), seed, frozenset(), {})
    steps: list[dict[str, Any]] = []
    for number, budget in enumerate(protocol.budgets):
        begun = time.perf_counter()
        unread = [int(index) for index in pool if int(index) not in state.answers]
        if not unread:
            break
        now = chosen.now(Counter(state.answers.values()), len(learner.application.classes))
        taken = _step(learner, chosen, state, unread, budget, truth, round_seed(seed, number))
        state = taken.state
        steps.append(
            {
                "labels": len(state.answers),
                "positives": sum(int(material.labels[index]) > 0 for index in state.answers),
                "auc": taken.auc,
                "seconds": time.perf_counter() - begun,
                "cold": "" if now is chosen else now.name,
                "picks": [material.ids[index] for index in taken.picks],
                **tally(taken.logits)._asdict(),
                "ranks": packed(taken.scores),
            }
        )
        if on_step:
            on_step(len(state.answers))
    return {
        "strategy": name,
        "seed": seed,
        "pool": len(pool),
        "positives_in_pool": int((material.labels[pool] > 0).sum()),
        "flipped": sum(label != int(material.labels[index]) for index, label in state.answers.items()),
        "steps": steps,
    }


def _named(name: str) -> Strategy:
    return Strategy(name) if name in MARKS else strategy(name)


def _proposals(chosen: Strategy) -> list[Strategy]:
    return [_named(name) for name in PROPOSALS] if chosen.name == FORESIGHT else [chosen]


def _step(
    learner: Learner,
    chosen: Strategy,
    state: _State,
    unread: Sequence[int],
    budget: int,
    truth: Mapping[int, int],
    seed: int,
) -> _Taken:
    """Choose, hear the answers, learn from them, and look at the test patients; of several proposals keep the best."""
    look = cache(partial(learner.score, state.model, unread))  # once, however many proposals look
    proposed: dict[frozenset[int], tuple[Strategy, list[int], NDArray[np.float32]]] = {}
    for each in _proposals(chosen):
        picks, logits = _picks(learner, each, state, unread, look, budget, seed)
        proposed.setdefault(frozenset(picks), (each, picks, logits))  # at the start several draw the same
    return max((_heard(learner, *one, state, truth, seed) for one in proposed.values()), key=lambda taken: taken.auc)


def _heard(
    learner: Learner,
    chosen: Strategy,
    picks: list[int],
    logits: NDArray[np.float32],
    state: _State,
    truth: Mapping[int, int],
    seed: int,
) -> _Taken:
    material = learner.material
    answers = {**state.answers, **{index: truth[index] for index in picks}}
    after = _learn(learner, chosen, state._replace(answers=answers), seed)
    test = [int(index) for index in np.flatnonzero(material.test)]
    scores = softmax(learner.score(after.model, test).logits).mean(axis=1)
    auc = macro_auc(material.labels[test], scores[:, 1] if scores.shape[1] == 2 else scores)
    return _Taken(picks, logits, after, scores, auc)


def _picks(
    learner: Learner,
    chosen: Strategy,
    state: _State,
    unread: Sequence[int],
    look: Callable[[], Scored],
    budget: int,
    seed: int,
) -> tuple[list[int], NDArray[np.float32]]:
    """Return the picks, as places in the material, and their logits, (b, m, C); ``look`` scores the unread pool."""
    material = learner.material
    place = {material.ids[index]: index for index in unread}
    classes = len(learner.application.classes)
    counts = Counter(state.answers.values())
    now = chosen.now(counts, classes)
    # What looks at nothing needs no scores of the whole pool: its picks alone are scored, to be shown.
    scored = None if now.draw == "random" else look()
    labelled = (
        learner.score(state.model, list(state.answers)).embeddings
        if scored and now.draw in LOOK_AT_LABELLED and counts
        else None
    )
    if chosen.name == ORACLE and scored is not None:
        return _oracle(learner, state, unread, budget, seed, scored)
    picks = select(
        Pool.of(
            [material.ids[index] for index in unread],
            np.zeros((len(unread), 1, classes), np.float32) if scored is None else scored.logits,
            embeddings=None if scored is None else scored.embeddings,
            labelled=labelled,
            counts=counts,
        ),
        chosen,
        budget,
        seed=seed,
        k_ref_m=learner.protocol.patches,
    )
    indices = [place[pick.id] for pick in picks]
    if scored is None:
        logits = learner.score(state.model, indices).logits
    else:
        at = {index: number for number, index in enumerate(unread)}
        logits = scored.logits[[at[index] for index in indices]]
    return indices, logits


def _oracle(
    learner: Learner, state: _State, unread: Sequence[int], budget: int, seed: int, scored: Scored
) -> tuple[list[int], NDArray[np.float32]]:
    places = oracle(
        learner.material.labels[list(unread)],
        softmax(scored.logits).mean(axis=1),
        scored.embeddings,
        list(state.answers.values()),
        budget,
        seed,
    )
    return [unread[place] for place in places], scored.logits[places]


def _learn(learner: Learner, chosen: Strategy, state: _State, seed: int) -> _State:
    """Train on what the protocol's row of ACFT's Table 2 says; what no round has learnt yet counts as new."""
    indices = sorted(state.answers)
    labels = np.array([state.answers[index] for index in indices], np.int64)
    new = np.array([index not in state.learnt for index in indices])
    wrong = np.zeros(len(indices), bool)
    # A network of random weights knows nothing of earlier labels: it learns them all, whatever the others do.
    row = "RFT(LQ)" if chosen.restart else learner.protocol.training
    if "H" in STRATEGIES[row].learns and state.learnt:
        wrong = misclassified(labels, softmax(learner.score(state.model, indices).logits).mean(axis=1))
    reservoir = int(new.sum()) if "R" in STRATEGIES[row].learns else 0
    planned = plan(row, labels, new, wrong, seed=seed, reservoir=reservoir)
    if chosen.restart:
        parent = learner.blank(seed)
    else:
        parent = state.model if planned.start == "parent" else learner.start(state.seed)
    learning = {indices[place]: int(labels[place]) for place in planned.indices}
    phase = chosen.phase(learnt=bool(state.learnt) and planned.start == "parent")
    try:
        model = learner.fit(parent, learning, seed=seed, phase=phase)
    except OneClass:
        return state
    return state._replace(model=model, learnt=frozenset(indices))


def _said(
    labels: NDArray[np.int64], pool: NDArray[np.int64], noise: float, seed: int, classes: int
) -> Mapping[int, int]:
    """Return what the simulated reader will say of each candidate of the pool: a share of it wrong."""
    rng = np.random.default_rng([seed, 2])
    wrong = rng.random(len(pool)) < noise
    other = rng.integers(1, classes, len(pool))
    return {
        int(index): int((labels[index] + shift) % classes if flip else labels[index])
        for index, flip, shift in zip(pool, wrong, other, strict=True)
    }
