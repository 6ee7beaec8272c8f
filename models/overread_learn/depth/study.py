"""How much of a network for how much data: the question of Kandel & Castelli (Applied Sciences 10 (2020) 3359).

Every depth, and the same network from scratch, over growing shares of one training set, judged on test patients.
"""

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from overread_learn.depth.cache import PATCHES, finetune_last
from overread_learn.depth.held import Held, judge
from overread_learn.finetune import Fitted, Recipe, Samples, finetune
from overread_learn.nets.blocks import blocks, span
from overread_learn.nets.classifier import Classifier, build

__all__ = ["SCRATCH", "Cohort", "Depth", "Finding", "Key", "Network", "Share", "stratified", "study"]

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
    interval: tuple[float, float]
    """95 %, with patients as clusters."""
    auc_validation: float
    """On the validation patients, where the epoch was chosen; `shallowest` can choose a depth by it."""
    se_validation: float
    seconds: float
    """To train, the trunk's features among it."""

    @property
    def key(self) -> Key:
        """What it is about."""
        return self.share, self.depth, self.seed


def study(
    network: Network,
    cohort: Cohort,
    *,
    sizes: Sequence[int],
    seeds: Sequence[int],
    depths: Sequence[int] | None = None,
    patches: int = PATCHES,
    most: int = MOST,
    done: Collection[Key] = (),
) -> Iterator[Finding]:
    """Yield one finding for each seed, share and depth: all depths, unless ``depths`` names some, and then scratch.

    ``sizes`` are per cent of at most ``most`` training candidates. A seed draws the head, the candidates and the order;
    its smaller shares lie inside its larger ones, and each holds the classes in the proportions of the whole. All
    depths have equal epochs, so a smaller share has fewer steps. What ``done`` names is left out, so that a study
    that was broken off goes on from the findings that were kept.

    Raises ValueError on a size that is not in 1..100, and what `build`, `finetune_last` and `judge` raise.
    """
    wrong = [size for size in sizes if not 1 <= size <= 100]  # per cent
    if wrong:
        raise ValueError(f"a share is 1 to 100 per cent, got {wrong}")
    for seed in seeds:
        start = build(network.arch, network.classes, network.weights, seed)
        known = range(1, len(blocks(start)) + 1)
        jobs: list[tuple[Depth, Recipe]] = [(depth, network.recipe) for depth in (known if depths is None else depths)]
        if network.scratch:
            jobs.append((SCRATCH, network.scratch))
        order = stratified(cohort.train.labels, seed)[:most]
        for share, (depth, recipe) in product(sizes, jobs):
            if (share, depth, seed) not in done:
                count = max(network.classes, int(len(order) * share / 100 + 0.5))
                train = Share(cohort.train, order[:count])
                begun = time.perf_counter()
                fitted = _fit(start, depth, train, cohort.validation, replace(recipe, seed=seed), patches)
                seconds = time.perf_counter() - begun
                chosen_on, tested = judge(fitted.model, cohort.validation), judge(fitted.model, cohort.test)
                yield Finding(
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
                )


def stratified(labels: NDArray[np.integer], seed: int) -> NDArray[np.int64]:
    """Return a random order, (n,), whose every beginning holds the classes in proportion, and first one of each."""
    order = np.random.default_rng(seed).permutation(len(labels))
    place = np.empty(len(labels))  # within its class, from 0 to 1
    for value in np.unique(labels):
        members = order[labels[order] == value]
        place[members] = np.arange(len(members)) / len(members)
    return order[np.argsort(place[order], kind="stable")]


def _fit(start: Classifier, depth: Depth, train: Samples, validation: Held, recipe: Recipe, patches: int) -> Fitted:
    if depth == SCRATCH:
        empty = build(start.arch, start.classes, None, recipe.seed)
        return finetune(empty, train, validation[:2], recipe)
    return finetune_last(start, depth, train, validation[:2], recipe, patches=patches)
