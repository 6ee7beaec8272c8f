"""The tables say what was run, and nothing else."""

from __future__ import annotations

from typing import Any

from overread_learn.acquisition import strategy
from overread_learn.bench.labels import POOLS, across, table
from overread_learn.experiment.oracle import MARKS


def steps(*aucs: float) -> list[dict[str, Any]]:
    return [
        {"labels": 50 * number, "auc": auc, "positives": 7 * number, "seconds": 1.0}
        for number, auc in enumerate(aucs, 1)
    ]


def row(reach: float | None, ratio: float | None, alc: float, minus: float) -> dict[str, Any]:
    return {
        "labels_to_reach": reach,
        "ratio_to_random": ratio,
        "ratio_interval": [0.25, None],
        "alc": alc,
        "alc_interval": [alc - 0.01, alc + 0.01],
        "alc_minus_random": minus,
        "alc_minus_random_interval": [minus - 0.01, minus + 0.01],
    }


FACTS = {
    "strategies": {"random": {"0": steps(0.5, 0.6), "1": steps(0.6, 0.7)}, "auto": {"0": steps(0.7, 0.9996)}},
    "summary": {"random": row(100.0, 1.0, 0.6, 0.0), "auto": row(None, None, 0.75, 0.15)},
    "protocol": {"prevalence": 0.05, "depth": None, "arch": "squeezenet1_1"},
    "commits": ["abc"],
    "seconds": 7200.0,
}


def test_a_row_for_each_strategy_the_best_first() -> None:
    text = table("some pool", FACTS)
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert rows == [
        "| `auto` | 1 | .700 1.000 | 14 | never | never (0.25 to never) | 0.7500 | +0.1500 (+0.1400 to +0.1600) |",
        "| `random` | 2 | .550 .650 | 14 | 100 | 1.00 (0.25 to never) | 0.6000 | +0.0000 (-0.0100 to +0.0100) |",
    ]
    assert "AUC at 50 / 100 labels" in text
    assert "120 minutes of one process" in text


def test_a_set_that_gives_no_interval_has_its_row() -> None:
    bare = {**FACTS["summary"]["auto"], "ratio_interval": None, "alc_minus_random_interval": None}
    text = table("some pool", {**FACTS, "summary": {**FACTS["summary"], "auto": bare}})
    assert "| never | never (no interval) | 0.7500 | +0.1500 (no interval) |" in text


def test_across_the_pools_stands_who_ran_everywhere() -> None:
    names = ("random", "auto", "margin")
    other = {
        "strategies": {name: {"0": steps(0.5), "1": steps(0.6)} for name in names},
        "summary": {name: row(None, None, 0.5, -0.05) for name in names},
    }
    rows = [line for line in across({"a": FACTS, "b": other}, 1).splitlines() if line.startswith("| `")]
    assert rows[:2] == ["| `auto` | +0.1500 | -0.0500 | +0.0500 |", "| `random` | +0.0000 | -0.0500 | -0.0250 |"]
    assert rows[2] == "| `auto` | +0.0000 ± nan | +0.0000 ± 0.0000 | +0.0000 ± nan |"  # of one seed nobody knows
    assert len(rows) == 4


def test_what_auto_is_held_against_is_paired_by_seed() -> None:
    both = {"random": {"0": steps(0.5), "1": steps(0.7)}, "auto": {"1": steps(0.75), "0": steps(0.52), "2": steps(0.9)}}
    facts = {"strategies": both, "summary": {"random": row(None, None, 0.5, 0.0), "auto": row(None, None, 0.6, 0.1)}}
    last = across({"a": facts, "b": facts}, 2).splitlines()[-1]
    # -.02 and -.05 deviate by .0212, over the root of two seeds; the mean of two such pools over the root of two again.
    assert last == "| `random` | -0.0350 ± 0.0150 | -0.0350 ± 0.0150 | -0.0350 ± 0.0106 |"


def test_a_mean_of_few_seeds_is_held_against_nobody() -> None:
    rows = [line for line in across({"a": FACTS}, 2).splitlines() if line.startswith("| `")]
    assert rows == ["| `random` | +0.0000 | +0.0000 |"]


def test_every_pool_names_strategies_that_exist_and_the_one_all_are_held_against() -> None:
    last = {pool.name: pool for pool in POOLS}
    for pool in POOLS:
        assert pool.strategies[0] == "random"
        for name in set(pool.strategies) - MARKS:
            assert strategy(name).name == name
    for pool in last.values():  # its labels.json is the table's
        assert "auto" in pool.strategies
