"""What the report says in sentences."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from overread_learn.acquisition.strategy import AUTO
from overread_learn.applications import Application
from overread_learn.experiment.material import Material
from overread_learn.experiment.protocol import Protocol
from overread_learn.experiment.report.tables import percent
from overread_learn.experiment.report.tried import REFERENCE, Tried, missing
from overread_learn.experiment.results import once

__all__ = ["conditions", "limits", "outcome"]


def outcome(strategies: Sequence[Tried]) -> Iterator[str]:
    """Say who needed how many labels."""
    reference = next((one for one in strategies if one.name == REFERENCE), None)
    if reference is None or reference.summary is None:
        best = strategies[0]
        yield f"{best.name} came out first: a test AUC of {_last_auc(best):.3f} with {best.labels[-1]} labels."
        return
    yield (
        f"With {reference.labels[-1]} labels picked at random the network reached a test AUC of "
        f"{_last_auc(reference):.3f}."
    )
    others = [one for one in strategies if one.name != REFERENCE and one.summary]
    if not others:
        return
    seeds = set(reference.runs)
    fewest = min(others, key=lambda one: (one.summary.labels_to_reach if one.summary else None) or float("inf"))
    yield from dict.fromkeys(_saved(one, seeds) for one in (fewest, *others) if one is fewest or one.name == AUTO)
    intervals = [one.summary.alc_minus_random_interval for one in others if one.summary]
    told = [one for one in intervals if one is not None]
    if told:
        gains, losses = sum(lower > 0 for lower, _ in told), sum(upper < 0 for _, upper in told)
        yield (
            f"Of {_count(len(told), 'other strategy', 'other strategies')}, {gains or 'none'} had a larger area under "
            f"the learning curve than {REFERENCE} and {losses or 'none'} a smaller one, beyond their 95 % intervals."
        )
    if len(told) < len(intervals):
        yield (
            f"Of {_count(len(intervals) - len(told), 'strategy', 'strategies')} there is no interval: a class is that "
            "of one test patient alone, or all draws say the same, and others may not."
        )


def _saved(one: Tried, seeds: set[int]) -> str:
    summary = one.summary
    same = set(one.runs) == seeds or not set(one.runs) <= seeds  # as `summarise` holds them against each other
    that = "that" if same else f"what {REFERENCE} had with {one.name}'s {_count(len(one.runs), 'seed', 'seeds')}"
    if summary is None or summary.labels_to_reach is None or summary.ratio_to_random is None:
        return f"{one.name} never reached {that}."
    within = "no interval"
    if summary.ratio_interval is not None:
        lower, upper = ("more than all" if end is None else percent(end) for end in summary.ratio_interval)
        within = f"95 % interval {lower} to {upper}"
    return (
        f"{one.name} reached {that} with {summary.labels_to_reach:.0f} labels, {percent(summary.ratio_to_random)} of "
        f"{REFERENCE}'s ({within})."
    )


def _last_auc(one: Tried) -> float:
    return float(np.mean(one.each("auc")[:, -1]))


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def conditions(strategies: Sequence[Tried], material: Material, protocol: Protocol) -> list[tuple[str, str]]:
    """Say what was compared on what, as pairs of a word and a text."""
    runs = once(run for one in strategies for run in one.runs.values())
    seeds = sorted({seed for one in strategies for seed in one.runs})
    pools = sorted({(run["positives_in_pool"], run["pool"]) for run in runs})
    seconds = sum(step["seconds"] for run in runs for step in run["steps"])
    times = sorted(run["time"] for run in runs)
    weights = "random weights" if protocol.weights == "none" else f"pretrained weights {protocol.weights[:12]}"
    network = "the last layer alone" if protocol.depth == 1 else "all layers"
    rates = "the papers' rates" if protocol.rates == "papers" else "the application's rates"
    training = f"{_epochs(protocol, material.application)} a round by {protocol.training} at {rates}"
    resampled = "as it is in the set" if protocol.prevalence is None else f"resampled to {percent(protocol.prevalence)}"
    return [
        ("Set", _of(material, np.ones(len(material), bool))),
        (
            "Pool",
            "; ".join(f"{size} candidates, {_share(positives, size)}" for positives, size in pools) + f", {resampled}",
        ),
        ("Tested on", f"{_of(material, material.test)}; none of these patients is ever trained on"),
        ("Strategies", ", ".join(one.name for one in strategies)),
        ("Seeds", ", ".join(map(str, seeds))),
        ("New labels a round", ", ".join(map(str, protocol.budgets))),
        (
            "Network",
            f"{protocol.arch} from {weights}, {network}, {training}, {protocol.patches} patches a candidate scored",
        ),
        (
            "Computed",
            f"{len(runs)} runs, {_duration(seconds)} in all, {' to '.join(dict.fromkeys((times[0], times[-1])))}",
        ),
        ("Commit", ", ".join(sorted({run["commit"] for run in runs}))),
        ("Machine", "; ".join(sorted({run["machine"] for run in runs}))),
    ]


def _epochs(protocol: Protocol, application: Application) -> str:
    """Say how long a round learns; by the papers' rates each phase has a number of its own."""
    if protocol.epochs or protocol.rates == "own":
        return f"{protocol.epochs or application.epochs} epochs"
    first, later, scratch = (application.phase(phase).epochs for phase in ("first", "later", "scratch"))
    return f"{first} epochs in the first round, {later} in each later one, {scratch} where it starts from scratch,"


def _of(material: Material, chosen: NDArray[np.bool_]) -> str:
    patients = len({patient for patient, own in zip(material.patients, chosen, strict=True) if own})
    count = int(chosen.sum())
    return (
        f"{_count(count, 'candidate', 'candidates')} of {_count(patients, 'patient', 'patients')}, "
        f"{_share(int((material.labels[chosen] > 0).sum()), count)}"
    )


def _share(positives: int, count: int) -> str:
    return f"{positives} positive ({percent(positives / count)})"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def limits(strategies: Sequence[Tried], material: Material, protocol: Protocol) -> Iterator[str]:
    """Say what can't be concluded, and what is missing."""
    for name, absent in missing(strategies).items():
        which = f"seed {absent[0]} is" if len(absent) == 1 else f"seeds {', '.join(map(str, absent))} are"
        yield f"Missing: of {name}, {which} not there, so its mean is over fewer runs than others'."
    seeds = max(len(one.runs) for one in strategies)
    yield (
        "All labels are those of one set. Another hospital, another scanner, or another network may order the "
        "strategies otherwise."
    )
    yield "The set's labels are taken for the truth, in the AUC too. Where they are wrong, so is every number here."
    flipped = [run["flipped"] for one in strategies for run in one.runs.values()]
    if protocol.label_noise:
        yield (
            f"The simulated reader erred in {percent(protocol.label_noise)} of its answers, by chance "
            f"({min(flipped)} to {max(flipped)} of a run's). People err on the difficult ones, which active "
            "strategies prefer."
        )
    else:
        yield (
            "The simulated reader never errs. People do, and most on the difficult candidates that active strategies "
            "prefer: fewer labels may be saved than it seems."
        )
    yield "The simulated reader takes the same time for every candidate. Difficult ones take people longer."
    yield f"Intervals hold over these test patients and {_count(seeds, 'seed', 'seeds')}, not over sets."
    if len(strategies) > 2:
        yield f"The best of {len(strategies)} strategies looks better here than it is: chance helped to choose it."
    if protocol.prevalence is not None:
        yield "The pool was resampled, the test set was not: its share of positives is the set's own."
    if material.left_out:
        yield f"{_count(material.left_out, 'candidate', 'candidates')} without a label took no part."
