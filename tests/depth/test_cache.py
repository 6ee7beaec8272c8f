import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from depth.toys import RECIPE, Toy, furthest, held, learning, pairs
from overread_learn.depth import Drawn, drawn, features, finetune_last
from overread_learn.finetune import OneClass, finetune
from overread_learn.nets import Classifier, build
from overread_learn.nets.blocks import freeze, split

TRAIN = pairs(24)
VALIDATION = held(pairs(16))[:2]
PATCHES = 3


@pytest.fixture(scope="module")
def parent() -> Classifier:
    return build("squeezenet1_1", 2, None, seed=0)


@pytest.mark.parametrize(
    ("arch", "depth"),
    [
        ("squeezenet1_1", 1),  # dropout
        ("squeezenet1_1", 2),
        ("mobilenet_v2", 1),
        ("mobilenet_v2", 3),  # batch norm on both sides of the cut, and dropout
        ("mobilenet_v3_small", 3),
        ("resnet18", 2),
    ],
)
def test_cached_features_give_the_weights_of_the_frozen_network(arch: str, depth: int) -> None:
    model = build(arch, 2, None, seed=0)
    recipe = replace(RECIPE, rate=1e-3, head_rate=1e-2)
    cached = finetune_last(model, depth, Toy(TRAIN), None, recipe, patches=PATCHES)

    freeze(model, depth)
    rng = np.random.default_rng((RECIPE.seed, PATCHES))
    same_draws = Drawn(TRAIN, list(drawn(Toy(TRAIN), PATCHES, rng)))
    direct = finetune(model, same_draws, None, recipe)

    assert furthest(cached.model, direct.model) < 1e-5
    losses = [[report.loss for report in fitted.history] for fitted in (cached, direct)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert furthest(cached.model, model) > 1e-3  # it did learn


def test_only_the_last_blocks_change(parent: Classifier) -> None:
    before = {name: value.clone() for name, value in parent.state_dict().items()}
    flags = learning(parent)
    fitted = finetune_last(parent, 2, Toy(TRAIN), VALIDATION, RECIPE)
    assert all(torch.equal(value, before[name]) for name, value in parent.state_dict().items())
    assert learning(parent) == learning(fitted.model) == flags
    assert not fitted.model.training
    trunk, rest = split(parent, 2)
    now = fitted.model.state_dict()
    assert all(torch.equal(now[name], before[name]) for name in trunk.state_dict())
    assert not any(torch.equal(now[name], before[name]) for name in dict(rest.named_parameters()))


def test_the_whole_network_is_what_is_returned_and_it_has_learnt() -> None:
    fitted = finetune_last(build("resnet18", 2, None, seed=0), 2, Toy(TRAIN), VALIDATION, RECIPE)
    assert type(fitted.model) is Classifier
    assert fitted.auc_validation >= 0.9
    assert fitted.model(torch.from_numpy(VALIDATION[0][0])).shape == (2, 2)


def test_patches_are_drawn_once(parent: Classifier) -> None:
    toy = Toy(TRAIN)
    finetune_last(parent, 1, toy, VALIDATION, replace(RECIPE, epochs=9), patches=4)
    assert toy.drawn == 4 * len(TRAIN) + 1  # and one to see how large the features are


def test_all_blocks_are_the_continual_step(parent: Classifier) -> None:
    toy = Toy(TRAIN)
    fitted = finetune_last(parent, 5, toy, VALIDATION, RECIPE)
    assert toy.drawn == RECIPE.epochs * len(TRAIN)
    assert furthest(fitted.model, finetune(parent, Toy(TRAIN), VALIDATION, RECIPE).model) == 0


def test_features_that_are_too_large_are_not_kept(parent: Classifier) -> None:
    # Two patches of each candidate and those held out, 512 features each, four bytes a feature.
    size = (2 * len(TRAIN) + sum(map(len, VALIDATION[0]))) * 512 * 4
    frozen = build("squeezenet1_1", 2, None, seed=0)
    freeze(frozen, 1)
    direct = finetune(frozen, Toy(TRAIN), VALIDATION, RECIPE).model
    below, at = (
        finetune_last(parent, 1, Toy(TRAIN), VALIDATION, RECIPE, patches=2, most_bytes=most).model
        for most in (size - 1, size)
    )
    assert furthest(below, direct) == 0
    assert furthest(at, direct) > 1e-4


def test_equal_seeds_give_equal_weights(parent: Classifier) -> None:
    one = finetune_last(parent, 2, Toy(TRAIN), VALIDATION, RECIPE).model
    torch.rand(7)  # whatever else the process draws
    assert furthest(one, finetune_last(parent, 2, Toy(TRAIN), VALIDATION, RECIPE).model) == 0
    assert furthest(one, finetune_last(parent, 2, Toy(TRAIN), VALIDATION, replace(RECIPE, seed=2)).model) > 0


def test_without_validation_the_last_epoch_is_kept(parent: Classifier) -> None:
    fitted = finetune_last(parent, 1, Toy(TRAIN), None, RECIPE)
    assert fitted.best_epoch == RECIPE.epochs
    assert math.isnan(fitted.auc_validation)


def test_features_of_many_candidates_are_those_of_each(parent: Classifier) -> None:
    trunk = split(parent, 3)[0]
    rng = np.random.default_rng(0)
    candidates = [rng.normal(size=(count, 3, 32, 32)).astype(np.float32) for count in (1, 200, 60, 3, 7)]
    found = features(trunk, iter(candidates))
    assert [one.shape for one in found] == [(len(candidate), 128, 3, 3) for candidate in candidates]
    with torch.inference_mode():
        for one, candidate in zip(found, candidates, strict=True):
            np.testing.assert_allclose(one, trunk(torch.from_numpy(candidate)).numpy(), rtol=1e-4, atol=1e-5)
    assert features(trunk, []) == []


def test_every_array_has_its_turn() -> None:
    samples = Drawn(np.array([0, 1]), [np.zeros((1, 2), np.float32), np.arange(8, dtype=np.float32).reshape(4, 2)])
    rng = np.random.default_rng(0)
    assert len(samples) == 2
    assert {tuple(samples.draw(1, rng)) for _ in range(100)} == {(0, 1), (2, 3), (4, 5), (6, 7)}
    assert tuple(samples.draw(0, rng)) == (0, 0)


def test_what_cannot_be_trained(parent: Classifier) -> None:
    with pytest.raises(ValueError, match="at least one patch"):
        finetune_last(parent, 1, Toy(TRAIN), VALIDATION, RECIPE, patches=0)
    with pytest.raises(ValueError, match="squeezenet1_1 has depths 1"):
        finetune_last(parent, 7, Toy(TRAIN), VALIDATION, RECIPE)
    for labels in (TRAIN[:2], TRAIN[:0]):
        with pytest.raises(OneClass, match="train has no"):
            finetune_last(parent, 1, Toy(labels), VALIDATION, RECIPE)
