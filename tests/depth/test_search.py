from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from torch import nn

from depth.toys import RECIPE, Toy, held, pairs
from overread_learn.depth import Row, due, figure, finetune_last, judge, search, shallowest
from overread_learn.evaluate import OneClass, clustered_auc, macro_auc, wide
from overread_learn.finetune import finetune
from overread_learn.finetune.predict import probabilities
from overread_learn.nets import Classifier, build

TRAIN = Toy(pairs(24))
HELD = held(pairs(24))


@pytest.fixture(scope="module")
def parent() -> Classifier:
    return build("squeezenet1_1", 2, None, seed=0)


class Known(NamedTuple):
    depth: int
    auc: float
    se: float


@pytest.mark.parametrize(
    ("rows", "chosen"),
    [
        ([Known(1, 0.80, 0.01), Known(2, 0.89, 0.01), Known(3, 0.90, 0.02)], 2),
        ([Known(1, 0.80, 0.50), Known(2, 0.89, 0.50), Known(3, 0.90, 0.00)], 3),  # the best one's own error counts
        ([Known(1, 0.75, 0.01), Known(2, 0.50, 0.01), Known(3, 1.00, 0.25)], 1),  # at one error: still within
        ([Known(3, 0.90, 0.02), Known(1, 0.70, 0.02), Known(2, 0.89, 0.02)], 2),  # in any order
        ([Known(1, 0.95, 0.01), Known(2, 0.90, 0.10)], 1),
        ([Known(4, 0.50, 0.10)], 4),
    ],
)
def test_the_shallowest_within_one_standard_error(rows: list[Known], chosen: int) -> None:
    assert shallowest(rows) == chosen


@pytest.mark.parametrize(("then", "now", "again"), [(50, 99, False), (50, 100, True), (50, 400, True), (0, 0, True)])
def test_a_search_is_due_when_the_labels_have_doubled(then: int, now: int, again: bool) -> None:
    assert due(then, now) is again


def test_each_depth_is_trained_from_the_checkpoint_and_judged_by_patients(parent: Classifier) -> None:
    heard: list[Row] = []
    found = search(parent, TRAIN, HELD, RECIPE, [5, 1, 2], patches=2, on_row=heard.append)
    assert found.table == tuple(heard)
    assert [(row.depth, row.blocks) for row in heard] == [(1, "head"), (2, "stage4-head"), (5, "stem-head")]
    for row in heard:
        alone = finetune_last(parent, row.depth, TRAIN, HELD[:2], RECIPE, patches=2)
        area = clustered_auc(HELD.labels, probabilities(alone.model, HELD.patches)[:, 1], HELD.patients)
        assert (row.auc, row.se) == pytest.approx(area[:2])
        assert row.interval == wide(area[2:4])
        assert row.auc == pytest.approx(alone.auc_validation)
        assert row.epochs == RECIPE.epochs
        assert row.seconds > 0
    assert found.chosen == shallowest(heard)
    assert found.labels == len(TRAIN)


def test_all_depths_unless_some_are_named(parent: Classifier) -> None:
    found = search(parent, TRAIN, HELD, replace(RECIPE, epochs=1), patches=1)
    assert [row.depth for row in found.table] == [1, 2, 3, 4, 5]
    with pytest.raises(ValueError, match="at least one depth"):
        search(parent, TRAIN, HELD, RECIPE, [])


def test_the_head_is_enough_where_the_trunk_knows_it_all() -> None:
    taught = finetune(build("resnet18", 2, None, seed=0), TRAIN, HELD[:2], replace(RECIPE, epochs=5)).model
    nn.init.zeros_(taught.net.get_submodule("fc").weight)  # what the head knew is lost
    found = search(taught, TRAIN, HELD, replace(RECIPE, head_rate=1e-3), [1, 2])
    assert found.chosen == 1
    assert found.table[0].auc > 0.9


def test_the_head_is_not_enough_where_the_trunk_is_blind() -> None:
    blind = build("resnet18", 2, None, seed=0)
    for name in ("layer4.0.bn2", "layer4.0.downsample.1", "layer4.1.bn2"):
        nn.init.zeros_(blind.net.get_submodule(name).weight)
    nn.init.ones_(blind.net.get_submodule("layer4.0.downsample.1").bias)  # ones, whatever the patch shows
    found = search(blind, TRAIN, HELD, replace(RECIPE, epochs=5), [1, 2])
    assert found.table[0].auc == 0.5
    assert found.table[1].auc > 0.8
    assert found.chosen == 2


def test_several_classes_are_judged_one_against_the_rest() -> None:
    model = build("resnet18", 3, None, seed=0)
    several = held(np.arange(18) % 3)._replace(patients=[f"{index // 3}" for index in range(18)])
    found = judge(model, several)
    scores = probabilities(model, several.patches)
    areas = [clustered_auc(several.labels == value, scores[:, value], several.patients) for value in range(3)]
    assert found.auc == pytest.approx(macro_auc(several.labels, scores))
    assert found.se == pytest.approx(np.mean([area.se for area in areas]))
    assert found.interval == pytest.approx(np.mean([area[2:4] for area in areas], axis=0))
    # A class that no patient has is left out.
    two = several._replace(labels=np.arange(18) % 2)
    assert judge(model, two).auc == pytest.approx(macro_auc(two.labels, scores))


def test_an_interval_without_width_is_none() -> None:
    certain = held(pairs(8))
    found = figure(np.stack([1.0 - certain.labels, certain.labels], axis=1), certain)
    assert (found.auc, found.se, found.interval) == (1, 0, None)


@pytest.mark.parametrize("classes", [2, 3])
def test_one_class_alone_cannot_be_judged(classes: int) -> None:
    model = build("squeezenet1_1", classes, None, seed=0)
    with pytest.raises(OneClass):
        judge(model, held(np.ones(6, int)))
    with pytest.raises(ValueError, match="two of each are needed"):
        judge(model, held(pairs(8))._replace(patients=["only"] * 8))
