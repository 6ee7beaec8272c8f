"""Why a candidate was picked: its patches one by one, and the terms that they add to the score."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overread_learn.acquisition.aift import BINARY, majority
from overread_learn.acquisition.grounds import Gradient, Grounds
from overread_learn.acquisition.patterns import pattern, pattern_class
from overread_learn.acquisition.pool import Pool, patch_probabilities
from overread_learn.acquisition.reasons import Terms, among, sentence
from overread_learn.acquisition.select import Pick, select, spend
from overread_learn.acquisition.shares import Patch, entropies, gradient_shares, our_shares, papers_shares
from overread_learn.acquisition.strategy import Strategy, strategy
from overread_learn.acquisition.uncertainty import MEASURES, fewest

__all__ = ["Explanation", "Patch", "explain", "explain_picks"]


@dataclass(frozen=True)
class Explanation:
    """A candidate under a strategy, ``strategy`` the name of the one that chooses now: perhaps a cold start.

    ``entropy`` and ``diversity`` are AIFT's terms and the sums of the patches' shares; the strategy weighs them by its
    lambda 1 and 2 if it is one of AIFT's. ``margin`` is the difference of the two likeliest classes, near 0 where the
    network wavers (the measure of that name ranks by 1 less it), ``jsd`` the patches' Jensen-Shannon divergence.
    ``value`` is that of the strategy's own measure, else the deciding number of ``grounds``, else None. ``grounds`` say
    what decided among embeddings, None where nobody looked at them. ``pick`` is what `select` says of the candidate,
    None where it was not picked or nobody asked.
    ``pattern`` is one of AIFT's seven (`overread_learn.acquisition.patterns`), of the probabilities of
    ``pattern_class``: of two classes the second, which is what is looked for, of more the likeliest.
    ``sentence`` says the same in words.
    """

    strategy: str
    dominant: int
    majority: int
    entropy: float
    diversity: float
    margin: float
    jsd: float
    value: float | None
    pattern: str
    pattern_class: int
    patches: tuple[Patch, ...]
    sentence: str
    grounds: Grounds | None = None
    pick: Pick | None = None


@dataclass(frozen=True)
class _Asked:
    """What an explanation is asked for by."""

    strategy: Strategy
    k_ref_m: int | None
    counts: Mapping[int, int] | None
    reference: bool = False
    names: Sequence[str] = ()

    def called(self, label: int) -> str:
        """Call a class by its number, and by its name where that is known."""
        return f"class {label} ({self.names[label]})" if self.names else f"class {label}"


def explain(
    logits: NDArray[np.floating],
    name: str | Strategy,
    k_ref_m: int | None = None,
    counts: Mapping[int, int] | None = None,
) -> Explanation:
    """Explain a candidate from its patches' logits, (m, C); ``k_ref_m`` is the application's nominal m, m if left out.

    ``counts`` are the labels so far by class: until each class has one, a strategy's cold start is what is explained.
    None means that the cold start is over. `explain_picks` says more, for it knows the others too.

    Raises ValueError on an unknown strategy and on logits that are not finite, too large or of another shape.
    """
    asked = strategy(name) if isinstance(name, str) else name
    return _explained(logits, _Asked(asked, k_ref_m, counts))


def explain_picks(
    pool: Pool,
    ids: Sequence[str],
    name: str | Strategy,
    budget: int,
    *,
    seed: int,
    k_ref_m: int,
    reference: bool = False,
    classes: Sequence[str] = (),
) -> dict[str, Explanation]:
    """Explain candidates of a pool by what `select` does with the same arguments: their place, their lot, their terms.

    ``classes`` are their names, by which the sentence calls them beside their number. With ``reference`` the terms are
    the papers' sums, and the sentence says where our arithmetic puts the candidate.

    Raises KeyError on an id that the pool lacks, and what `select` raises.
    """
    how = strategy(name) if isinstance(name, str) else name
    place = {each: index for index, each in enumerate(pool.ids)}
    spent = spend(pool, how, budget, seed=seed, k_ref_m=k_ref_m, reference=reference)
    ours = select(pool, how, budget, seed=seed, k_ref_m=k_ref_m) if reference else []
    chosen, ranks, our_ranks = spent.chosen, {pick.id: pick for pick in spent.picks}, {one.id: one.rank for one in ours}
    single = any(majority(chosen.alpha, int(size)) == 1 for size in np.unique(np.diff(pool.offsets)))
    percentile = chosen.measure == "aift" and bool(chosen.diversity) and single and not reference
    asked = _Asked(how, k_ref_m, pool.counts, reference, classes)
    found = {}
    for each in ids:
        pick, grounds = ranks.get(each), spent.grounds(place[each])
        parts = [f"not among the {len(spent.picks)} picks of this budget"]
        if pick is not None:
            parts = [f"pick {pick.rank + 1} of {len(spent.picks)}"]
            if percentile:
                alone = majority(chosen.alpha, len(pool.of_candidate(place[each]))) == 1
                among_whom = "of its entropy among those that keep one patch" if alone else "among those with more"
                parts.append(f"its score {pick.score:.3g} the percentile {among_whom}, for some keep one patch alone")
            parts += _lot(chosen, pick)
        parts += filter(None, [among(chosen, grounds, None if pick is None else pick.rank)])
        if reference:
            rank = our_ranks.get(each)
            parts.append("by our arithmetic " + ("not among them" if rank is None else f"pick {rank + 1}"))
        found[each] = _explained(pool.of_candidate(place[each]), asked, pick, grounds, ", ".join(parts))
    return found


def _lot(chosen: Strategy, pick: Pick) -> list[str]:
    """Say what chance had to do with a pick."""
    lot = [f"its lot {pick.score:.3g}"] if not chosen.measure and chosen.draw in {"random", "stratified"} else []
    return lot + ([f"with propensity {pick.propensity:.3g}"] if pick.propensity is not None else [])


def _explained(
    logits: NDArray[np.floating],
    asked: _Asked,
    pick: Pick | None = None,
    grounds: Grounds | None = None,
    fate: str = "",
) -> Explanation:
    classes = logits.shape[-1]
    chosen = asked.strategy if asked.counts is None else asked.strategy.now(asked.counts, classes)
    k_ref = majority(chosen.alpha, len(logits) if asked.k_ref_m is None else asked.k_ref_m)
    found = papers_shares(logits, chosen.alpha) if asked.reference else our_shares(logits, chosen.alpha, k_ref)
    p = patch_probabilities(logits)
    mean = p.mean(axis=0)
    value = None if grounds is None else grounds.deciding
    if chosen.measure == "aift":
        value = chosen.entropy * found.entropy + chosen.diversity * found.diversity
    elif chosen.measure:
        value = float(MEASURES[chosen.measure](Pool.of(["it"], [logits], counts=asked.counts))[0])
    of = pattern_class(found.dominant, classes)
    terms = Terms(
        entropy=found.entropy,
        diversity=found.diversity,
        value=value,
        pattern=pattern(p[:, of]),
        of="" if classes == BINARY else asked.called(of),
        mean=float(mean[of]),
        dominant=asked.called(found.dominant),
        rarest=asked.called(fewest(asked.counts or {}, classes)),
        k=found.k,
        patches=len(logits),
        reference=asked.reference,
    )
    pulls: list[float | None] = [None] * len(p)
    if isinstance(grounds, Gradient):
        pulls = [float(each) for each in gradient_shares(p, grounds.length)]
    ordered = np.sort(mean)
    return Explanation(
        strategy=chosen.name,
        dominant=found.dominant,
        majority=found.k,
        entropy=found.entropy,
        diversity=found.diversity,
        margin=float(ordered[-1] - ordered[-2]),
        jsd=float(max(0.0, entropies(mean[None])[0] - entropies(p).mean())),
        value=value,
        pattern=terms.pattern,
        pattern_class=of,
        patches=tuple(
            Patch(tuple(map(float, row)), bool(kept), float(entropy), float(diversity), pull)
            for row, kept, entropy, diversity, pull in zip(
                p, found.kept, found.entropies, found.diversities, pulls, strict=True
            )
        ),
        sentence=sentence(asked.strategy, chosen, terms, fate),
        grounds=grounds,
        pick=pick,
    )
