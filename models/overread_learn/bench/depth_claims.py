"""Which of the papers' findings on depth hold: sentences made of the numbers of one study, never of hopes.

Tajbakhsh et al. (IEEE TMI 35 (2016) 1299-1312): fine-tuning is at least as good as training from scratch, loses less
when there are fewer labels, and neither the shallowest nor the deepest is the best choice. Kandel & Castelli (Applied
Sciences 10 (2020) 3359): fine-tuning the entire network is not always best, and the top blocks alone can do.

The best depth is chosen on the validation patients and compared on the test patients: the best of several on the test
patients themselves would be flattered. What lies within all layers' 95 % interval is as good as they are. A difference
counts as shown where its own 95 % interval, which is paired, leaves out zero.
"""

from collections.abc import Callable, Mapping, Sequence

from overread_learn.depth import SCRATCH
from overread_learn.experiment.depth_table import Cell, DepthTable, Estimate

__all__ = ["claims"]

FASTER = 5.0
"""How many times faster a shallow round is meant to be."""


def claims(table: DepthTable, shares: Sequence[int], depths: int) -> list[str]:
    """Return one sentence a finding over ``shares``, in per cent, of a network of ``depths`` blocks.

    The shares are those that `DepthTable.complete` names.
    """
    return [
        _at_least_scratch(table, shares),
        _fewer_labels(table, shares),
        _intermediate(table, shares, depths),
        _few_blocks(table, shares, depths),
        _not_everything(table, shares, depths),
        *([_shallow_round(table, depths)] if 100 in shares else []),
    ]


def _at_least_scratch(table: DepthTable, shares: Sequence[int]) -> str:
    found = {share: table.by_rule(share).minus(table.cell(share, SCRATCH)) for share in shares}
    return _said(
        "Fine-tuning is at least as good as training from scratch (Tajbakhsh et al.)",
        "AUC of the depth that the one-standard-error rule takes, minus that from scratch",
        found,
        _no_worse,
    )


def _fewer_labels(table: DepthTable, shares: Sequence[int]) -> str:
    name = "**Fine-tuning loses less than training from scratch when labels get fewer (Tajbakhsh et al.)**"
    if len(shares) < 2:
        return f"{name}: needs two shares."
    fewest, most = min(shares), max(shares)
    tuned, scratch = (
        [cell(share) for share in (fewest, most)] for cell in (table.by_rule, lambda share: table.cell(share, SCRATCH))
    )
    lost = [(full.minus(few)).value for few, full in (tuned, scratch)]
    more = _second_minus_first(tuned, scratch)
    verdict = "holds" if more.lower > 0 else "the reverse holds" if more.upper < 0 else "not shown"
    return (
        f"{name}: {verdict}. From {most} to {fewest} % of the labels, fine-tuning loses {lost[0]:.3f} of AUC and "
        f"scratch {lost[1]:.3f}, a difference of {_signed(more)}."
    )


def _second_minus_first(tuned: Sequence[Cell], scratch: Sequence[Cell]) -> Estimate:
    """Return how much more the second loses from its last cell to its first."""
    return Estimate.of((scratch[1].replicates - scratch[0].replicates) - (tuned[1].replicates - tuned[0].replicates))


def _intermediate(table: DepthTable, shares: Sequence[int], depths: int) -> str:
    found = {}
    for share in shares:
        best = max((table.cell(share, depth) for depth in range(2, depths)), key=lambda cell: cell.auc_validation)
        found[share] = best.minus(table.cell(share, depths))
    return _said(
        "An intermediate depth is enough (Tajbakhsh et al.)",
        "AUC of the intermediate depth that is best on validation, minus that of all layers",
        found,
        _no_worse,
    )


def _few_blocks(table: DepthTable, shares: Sequence[int], depths: int) -> str:
    enough = {share: _enough(table, share, depths) for share in shares}
    fewest, most = enough[min(shares)], enough[max(shares)]
    if fewest.depth == depths:
        verdict = "does not hold"
    elif _number(fewest) < _number(most):
        verdict = "holds, and more labels ask for more blocks"
    else:
        verdict = "holds, and more labels ask for no more blocks"
    listed = "; ".join(f"{share} %: {cell.blocks}" for share, cell in enough.items())
    return (
        f"**With little data few blocks suffice (Kandel & Castelli)**: {verdict}. "
        f"The fewest blocks whose test AUC lies within all layers' interval, or above it: {listed}."
    )


def _not_everything(table: DepthTable, shares: Sequence[int], depths: int) -> str:
    found, same = {}, []
    for share in shares:
        best = max((table.cell(share, depth) for depth in range(1, depths + 1)), key=lambda cell: cell.auc_validation)
        if best.depth == depths:
            same.append(f"{share} %")
        else:
            found[share] = best.minus(table.cell(share, depths))
    text = _said(
        "Fine-tuning everything is not always best (Kandel & Castelli)",
        "AUC of the depth that is best on validation, minus that of all layers",
        found,
        _sometimes_better,
    )
    return f"{text} All layers are best on validation at {', '.join(same)}." if same else text


def _shallow_round(table: DepthTable, depths: int) -> str:
    whole = table.cell(100, depths)
    cells = [cell for cell in (table.cell(100, depth) for depth in range(1, depths)) if cell.faster(whole) > 0]
    good = [cell for cell in cells if cell.auc.value >= whole.auc.lower]
    name = "**A shallow round on cached features**"
    if not cells:
        return f"{name}: no shallow depth ran on the processor of all layers."
    if good:
        fastest = max(good, key=lambda cell: cell.faster(whole))
        text = f"{name}: the fastest depth whose AUC is within all layers' interval is {_against(fastest, whole)}."
        if fastest.faster(whole) >= FASTER:
            return text
        text += f" That is not {FASTER:.0f} times."
    else:
        text = f"{name}: no depth has an AUC within all layers' interval."
    quick = [cell for cell in cells if cell.faster(whole) >= FASTER]
    if not quick:
        fastest = max(cells, key=lambda cell: cell.faster(whole))
        return f"{text} No depth is {FASTER:.0f} times faster; the fastest is {_against(fastest, whole)}."
    best = max(quick, key=lambda cell: cell.auc.value)
    return f"{text} The trade-off: the best of those that are {FASTER:.0f} times faster is {_against(best, whole)}."


def _against(cell: Cell, whole: Cell) -> str:
    ratios = cell.ratios(whole)
    return (
        f"{cell.blocks}, {cell.faster(whole):.1f} times faster ({ratios[0]:.1f} to {ratios[-1]:.1f} by seed), "
        f"AUC {cell.auc.value:.3f} for {whole.auc.value:.3f}, "
        f"a difference of {_signed(cell.minus(whole))}"
    )


def _enough(table: DepthTable, share: int, depths: int) -> Cell:
    whole = table.cell(share, depths)
    return next(
        cell
        for cell in (table.cell(share, depth) for depth in range(1, depths + 1))
        if cell.auc.value >= whole.auc.lower
    )


def _number(cell: Cell) -> int:
    return cell.depth if isinstance(cell.depth, int) else 0


def _no_worse(found: Mapping[int, Estimate]) -> str:
    worse = [share for share, one in found.items() if one.upper < 0]
    better = [share for share, one in found.items() if one.lower > 0]
    if worse:
        return f"does not hold at {_listed(worse)}"
    if len(better) == len(found):
        return "holds, and better is shown at every share"
    return f"not contradicted: better is shown at {_listed(better)}, worse nowhere"


def _sometimes_better(found: Mapping[int, Estimate]) -> str:
    better = [share for share, one in found.items() if one.lower > 0]
    return f"holds: better is shown at {_listed(better)}" if better else "not shown at any share"


def _said(name: str, what: str, found: Mapping[int, Estimate], verdict: Callable[[Mapping[int, Estimate]], str]) -> str:
    listed = "; ".join(f"{share} %: {_signed(one)}" for share, one in found.items())
    return f"**{name}**: {verdict(found)}." + (f" {what[0].upper()}{what[1:]}: {listed}." if listed else "")


def _listed(shares: Sequence[int]) -> str:
    return ", ".join(f"{share} %" for share in shares) or "no share"


def _signed(one: Estimate) -> str:
    return f"{one.value:+.3f} ({one.lower:+.3f} to {one.upper:+.3f})"
