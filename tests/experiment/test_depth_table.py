from __future__ import annotations

import math

import numpy as np
import pytest

from bench.depth_findings import TAUGHT, facts
from overread_learn.depth import SCRATCH
from overread_learn.evaluate import macro_auc
from overread_learn.experiment.depth_table import DepthTable, Estimate
from overread_learn.experiment.ranks import unpacked


@pytest.fixture(scope="module")
def table() -> DepthTable:
    return DepthTable(facts(), replicates=300)


def test_a_cell_is_the_mean_over_seeds_with_an_interval_around_it(table: DepthTable) -> None:
    found = facts()
    truth = found["test"]["labels"]
    mine = [row for row in found["findings"] if (row["share"], row["depth"]) == (10, 2)]
    cell = table.cell(10, 2)
    expected = np.mean([macro_auc(truth, unpacked(row["ranks"], len(truth))) for row in mine])
    assert cell.auc.value == pytest.approx(expected)
    assert cell.auc.lower < cell.auc.value < cell.auc.upper
    assert (cell.depth, cell.blocks, cell.labels, cell.seeds) == (2, "stage-head", 100, (0, 1))
    assert (cell.seconds, cell.core_seconds) == (20, 10)


def test_seeds_that_differ_widen_the_interval() -> None:
    one = facts(seeds=1)
    same = {**one, "findings": [*one["findings"], *({**row, "seed": 1} for row in one["findings"])]}
    narrow, wide = (DepthTable(each, replicates=300).cell(10, 1).auc for each in (same, facts(seeds=2)))
    alone = DepthTable(one, replicates=300).cell(10, 1).auc
    assert narrow == pytest.approx(alone)  # a seed repeated says nothing new
    other = {**same, "findings": [*one["findings"], *({**row, "seed": 1} for row in facts({(10, 1): 3.0})["findings"])]}
    apart = DepthTable(other, replicates=300).cell(10, 1).auc
    assert apart.upper - apart.lower > 2 * (wide.upper - wide.lower)


def test_differences_are_paired(table: DepthTable) -> None:
    two, three = table.cell(100, 2), table.cell(100, 3)
    gain = three.minus(two)
    assert 0 < gain.lower < gain.upper  # though the two intervals overlap almost wholly
    assert three.auc.lower < two.auc.value
    assert two.minus(two) == Estimate(0, 0, 0)


def test_how_much_faster_is_told_by_seeds_that_one_processor_did_both_of() -> None:
    found = facts(seeds=3)
    # The third seed began with depth 1 on a slow processor, and went on with the others on a fast one.
    for row in found["findings"]:
        early = row["seed"] == 2 and row["depth"] == 1
        row["processor"] = "slow" if early else "fast"
        row["core_seconds"] *= 4 if early else 1
    table = DepthTable(found, 10)
    head, whole = table.cell(100, 1), table.cell(100, 3)
    assert head.core_seconds == 4
    assert head.ratios(whole) == [25, 25]
    assert head.faster(whole) == 25
    assert table.cell(100, 2).faster(whole) == 100 / 10
    last = DepthTable({**found, "findings": [row for row in found["findings"] if row["seed"] == 2]}, 10)
    assert math.isnan(last.cell(100, 1).faster(last.cell(100, 3)))


def test_shares_and_depths_in_order(table: DepthTable) -> None:
    assert table.shares == [10, 100]
    assert table.depths == [1, 2, 3, SCRATCH]
    assert (10, SCRATCH) in table
    assert (25, 1) not in table


def test_a_share_is_complete_when_all_depths_have_the_same_seeds() -> None:
    whole = facts()
    assert DepthTable(whole, 10).complete(3) == [10, 100]
    assert DepthTable(whole, 10).complete(4) == []
    broken = {**whole, "findings": whole["findings"][:-1]}  # the last seed's scratch
    assert DepthTable(broken, 10).complete(3) == [10]


def test_the_rule_takes_the_shallowest_within_one_standard_error(table: DepthTable) -> None:
    # Validation AUCs are TAUGHT / 3: at 100 % .133, .667, .7, with an error of .05.
    assert table.rule(100) == {0: 2, 1: 2}
    assert table.by_rule(100).auc == table.cell(100, 2).auc
    unsure = facts()
    for row in unsure["findings"]:
        row["se_validation"] = 0.9 if row["seed"] else 0.001
    mixed = DepthTable(unsure, 50)
    assert mixed.rule(100) == {0: 3, 1: 1}
    taken = mixed.by_rule(100)
    assert (taken.depth, taken.blocks) == (None, "stem-head, head")
    assert taken.core_seconds == pytest.approx((100 + 4) / 2)
    assert TAUGHT[100, 1] < TAUGHT[100, 3]
    assert taken.auc.value < mixed.cell(100, 3).auc.value


def test_an_interval_of_no_width_says_so() -> None:
    assert Estimate(0.9, 0.8, 0.95).within == "0.800 to 0.950"
    assert Estimate(1.0, 1.0, 1.0).within == "no width"


def test_a_file_that_lacks_its_scores_is_said() -> None:
    whole = facts()
    bare = [{name: value for name, value in row.items() if name != "ranks"} for row in whole["findings"]]
    for broken in ({"findings": whole["findings"]}, {**whole, "findings": bare}):
        with pytest.raises(ValueError, match="lacks its test set, or a finding its scores"):
            DepthTable(broken)
