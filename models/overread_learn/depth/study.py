"""How much of a network for how much data: the question of Kandel & Castelli (Applied Sciences 10 (2020) 3359).

Every depth, and the same network from scratch, over growing shares of one training set, judged on test patients.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from overread_learn.depth.cache import PATCHES, finetune_last
from overread_learn.depth.held import Held, figure, judge
from overread_learn.finetune import Fitted, Recipe, Samples, finetune
from overread_learn.finetune.predict import probabilities
from overread_learn.nets.blocks import blocks, span
from overread_learn.nets.classifier import Classifier, build

__all__ = ["SCRATCH", "Cohort", "Depth", "Finding", "Key", "Network", "Share", "find", "stratified", "wished"]

SCRATCH: Literal["scratch"] = "scratch"
Depth = int | Literal["scratch"]
Key = tuple[int, Depth, int]
"""Share, depth and seed: what a finding of one network and one cohort is about."""

MOST = 1000
"""Candidates of the whole training set that are used, unless said otherwise: the share of 100 %."""


class Network(NamedTuple):
    """What to fine-tune, and how."""

    arch: str
    classes: int
    weights: Path | Literal["imagenet"]
    """What fine-tuning starts from, as `build` takes it."""
    recipe: Recipe
    """Its seed is replaced by the study's."""
    scratch: Recipe | None
    """How to learn without those weights; None leaves learning from scratch out."""


@dataclass(frozen=True)
class Cohort:
    """Training candidates with their patients, and patients held out: some to choose the epoch on, some to test on."""

    train: Samples
    patients: Sequence[str] | NDArray[np.generic]
    """(n,), whose candidate each of ``train`` is."""
    validation: Held
    test: Held

    def __post_init__(self) -> None:
        """Refuse patients that stand on two sides."""
        if len(self.patients) != len(self.train):
            raise ValueError(f"{len(self.train)} training candidates came with {len(self.patients)} patients")
        sides = {"train": self.patients, "validation": self.validation.patients, "test": self.test.patients}
        owner: dict[str, str] = {}
        for side, patients in sides.items():
            for patient in set(map(str, patients)):
                if owner.setdefault(patient, side) != side:
                    raise ValueError(f"patient {patient} stands in {owner[patient]} and in {side}")


@dataclass(frozen=True)
class Share:
    """Some of the candidates of a training set, which are `Samples` themselves."""

    samples: Samples
    chosen: NDArray[np.int64]
    """Their indices."""

    @property
    def labels(self) -> NDArray[np.integer]:
        """The labels of the chosen, 0..C-1."""
        return self.samples.labels[self.chosen]

    def __len__(self) -> int:
        """Return how many were chosen."""
        return len(self.chosen)

    def draw(self, index: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """Draw one augmented patch of a chosen candidate, (3, s, s)."""
        return self.samples.draw(int(self.chosen[index]), rng)


class Finding(NamedTuple):
    """One network, trained once."""

    arch: str
    share: int
    """Per cent of the training set."""
    labels: int
    """Candidates in that share."""
    depth: Depth
    blocks: str
    """What was trained, as in `Row`; ``scratch``."""
    seed: int
    auc: float
    """On the test patients."""
    interval: tuple[float, float] | None
    """95 %, with patients as clusters; of this one network, so not of another seed's."""
    auc_validation: float
    """On the validation patients, where the epoch was chosen; `shallowest` can choose a depth by it."""
    se_validation: float
    seconds: float
    """To train, the trunk's features and the AUC after each epoch among it."""
    core_seconds: float
    """The same, of all cores together: unlike ``seconds``, hardly longer where other processes want the cores too."""
    validation_core_seconds: float
    """To judge the validation patients once, by the whole network."""
    scores: NDArray[np.float64]
    """Of the test candidates, (n, C)."""

    @property
    def key(self) -> Key:
        """What it is about."""
        return self.share, self.depth, self.seed


def wished(
    network: Network, *, sizes: Sequence[int], seeds: Sequence[int], depths: Sequence[int] | None = None
) -> list[Key]:
    """Return what a study is to find, the first seeds first: each share at every depth, and then from scratch.

    ``sizes`` are per cent; ``depths`` are all, unless named. Raises ValueError on a size that is not in 1..100, and
    what `build`, `blocks` and `span` raise.
    """
    wrong = [size for size in sizes if not 1 <= size <= 100]  # per cent
    if wrong:
        raise ValueError(f"a share is 1 to 100 per cent, got {wrong}")
    model = build(network.arch, network.classes, None, 0)
    depths = range(1, len(blocks(model)) + 1) if depths is None else depths
    for depth in depths:
        span(model, depth)  # raises what is wrong with it
    wanted: list[Depth] = [*depths, SCRATCH] if network.scratch else [*depths]
    found = ((share, depth, seed) for seed, share, depth in product(seeds, sizes, wanted))
    return list(dict.fromkeys(found))  # what is named twice is found once


def find(network: Network, cohort: Cohort, key: Key, *, patches: int = PATCHES, most: int = MOST) -> Finding:
    """Train one network on a share of at most ``most`` training candidates, and judge it on the test patients.

    The seed draws the head, the candidates and the order; its smaller shares lie inside its larger ones, and each holds
    the classes in the proportions of the whole. All depths have equal epochs, so a smaller share has fewer steps.
    ``patches`` is that of `finetune_last`. Raises what `build`, `finetune_last` and `judge` raise.
    """
    share, depth, seed = key
    start = build(network.arch, network.classes, network.weights, seed)
    order = stratified(cohort.train.labels, seed)[:most]
    count = max(network.classes, int(len(order) * share / 100 + 0.5))
    train = Share(cohort.train, order[:count])
    began, cores_began = time.perf_counter(), time.process_time()
    fitted = _fit(network, start, depth, train, cohort.validation, seed, patches)
    seconds, core_seconds = time.perf_counter() - began, time.process_time() - cores_began
    cores_began = time.process_time()
    chosen_on = judge(fitted.model, cohort.validation)
    validation_core_seconds = time.process_time() - cores_began
    scores = probabilities(fitted.model, cohort.test.patches)
    tested = figure(scores, cohort.test)
    return Finding(
        arch=network.arch,
        share=share,
        labels=len(train),
        depth=depth,
        blocks=SCRATCH if depth == SCRATCH else span(start, depth),
        seed=seed,
        auc=tested.auc,
        interval=tested.interval,
        auc_validation=chosen_on.auc,
        se_validation=chosen_on.se,
        seconds=seconds,
        core_seconds=core_seconds,
        validation_core_seconds=validation_core_seconds,
        scores=scores,
    )


def stratified(labels: NDArray[np.integer], seed: int) -> NDArray[np.int64]:
    """Return a random order, (n,), whose every beginning holds the classes in proportion, and first one of each."""
    order = np.random.default_rng(seed).permutation(len(labels))
    place = np.empty(len(labels))  # within its class, from 0 to 1
    for value in np.unique(labels):
        members = order[labels[order] == value]
        place[members] = np.arange(len(members)) / len(members)
    return order[np.argsort(place[order], kind="stable")]


def _fit(
    network: Network, start: Classifier, depth: Depth, train: Samples, validation: Held, seed: int, patches: int
) -> Fitted:
    if depth != SCRATCH:
        recipe = replace(network.recipe, seed=seed)
        return finetune_last(start, depth, train, validation[:2], recipe, patches=patches)
    if network.scratch is None:
        raise ValueError("the network has no recipe for learning from scratch")
    empty = build(network.arch, network.classes, None, seed)
    return finetune(empty, train, validation[:2], replace(network.scratch, seed=seed))
