"""What a comparison of strategies holds equal, so that nothing but the picks differs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Protocol", "pool_of", "round_seed"]


@dataclass(frozen=True)
class Protocol:
    """The rules of one comparison: runs of other rules never stand in one table.

    ``budgets`` are the new labels of each round. ``patches`` of each candidate are scored (at most the application's
    m). ``prevalence`` is the share of positives to which the pool, never the test set, is resampled; None leaves it.
    ``training`` is one of `overread_learn.finetune.STRATEGIES`. ``depth`` 1 trains the head alone, on features computed
    once; None trains the whole network. ``label_noise`` is the share of answers that come out wrong. ``epochs`` None
    are the application's. ``rates`` are its ``own``, or ``papers``: those of its phases, from AIFT's Table 3.
    """

    application: str
    """The application as JSON."""
    arch: str
    weights: str
    """SHA-256 of the pretrained weights, or ``none``."""
    material: str
    """Digest of the candidate set's table and the application."""
    budgets: tuple[int, ...]
    prevalence: float | None = None
    patches: int = 6
    epochs: int | None = None
    batch: int = 16
    balance: bool = True
    training: str = "ACFT(LQ)"
    rates: str = "own"
    depth: int | None = None
    label_noise: float = 0.0
    images_sha256: str | None = None
    """Over the contents of the set's images; runs made before it was noted lack it."""

    def __post_init__(self) -> None:
        """Refuse what can't be run."""
        if not self.budgets or min(self.budgets) < 1:
            raise ValueError(f"budgets must be whole numbers from 1, got {list(self.budgets)}")
        if self.prevalence is not None and not 0 < self.prevalence < 1:
            raise ValueError(f"a prevalence lies between 0 and 1, got {self.prevalence}")
        if not 0 <= self.label_noise < 0.5:  # beyond it the labels say the opposite
            raise ValueError(f"label noise is a share from 0 to below .5, got {self.label_noise}")
        if self.patches < 1 or self.batch < 1 or (self.epochs is not None and self.epochs < 1):
            raise ValueError("patches, batch and epochs must be at least 1")
        if self.rates not in {"own", "papers"}:
            raise ValueError(f"rates are own or papers, got {self.rates!r}")
        if self.depth not in {None, 1}:
            raise ValueError(f"depth is 1 (the head alone) or left out (the whole network), got {self.depth}")


def pool_of(
    labels: NDArray[np.integer], test: NDArray[np.bool_], prevalence: float | None, seed: int
) -> NDArray[np.int64]:
    """Return who is in the pool, (p,) places in rising order: train patients' candidates at the wished prevalence.

    The class that is too frequent is thinned out at random by ``seed``; a positive is any label but 0. Raises
    ValueError where fewer than two positives, or negatives, would be left.
    """
    train = np.flatnonzero(~test)
    if prevalence is None:
        return train
    positive, negative = train[labels[train] > 0], train[labels[train] == 0]
    rng = np.random.default_rng([seed, 1])
    wanted = round(prevalence / (1 - prevalence) * len(negative))
    if wanted <= len(positive):
        positive = rng.choice(positive, wanted, replace=False)
    else:
        negative = rng.choice(negative, round(len(positive) * (1 - prevalence) / prevalence), replace=False)
    if min(len(positive), len(negative)) < 2:
        raise ValueError(
            f"at a prevalence of {prevalence} {len(positive)} positives and {len(negative)} negatives are left"
        )
    return np.sort(np.concatenate([positive, negative]))


def round_seed(seed: int, number: int) -> int:
    """Return the seed of a round's picks and training; rounds count from 0, and the first one's is the run's own.

    Not ``seed + number``: the next seed's run would draw, one round earlier, nearly the same candidates at random, and
    runs that share their draws are no independent ones, as which the bootstrap takes them.
    """
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0]) if number else seed
