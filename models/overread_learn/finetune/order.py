"""The order in which an epoch shows the labelled candidates to the network."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["batches"]


def batches(
    labels: NDArray[np.integer], *, batch: int, balance: bool, rng: np.random.Generator
) -> Iterator[NDArray[np.integer]]:
    """Yield one epoch's indices into ``labels``, (n,), in batches of ``batch`` or more, and of two or more.

    A remainder joins the others: batch norm cannot learn from a lone one, which comes only where there is no other.
    ``balance`` draws each class that is present equally often (they differ by one where n does not divide), n
    candidates in all; otherwise each comes once.
    """
    count = len(labels)
    if balance:
        present = np.unique(labels)
        edges = [count * part // len(present) for part in range(len(present) + 1)]
        order = np.concatenate(
            [
                _cycle(np.flatnonzero(labels == value), end - start, rng)
                for value, start, end in zip(present, edges[:-1], edges[1:], strict=True)
            ]
        )
        rng.shuffle(order)
    else:
        order = rng.permutation(count)
    yield from np.array_split(order, max(1, count // max(batch, 2)))


def _cycle(members: NDArray[np.integer], size: int, rng: np.random.Generator) -> NDArray[np.integer]:
    """Draw ``size`` members, none a second time before all had their turn."""
    turns = [rng.permutation(members) for _ in range(-(-size // len(members)))]
    return np.concatenate([members[:0], *turns])[:size]
