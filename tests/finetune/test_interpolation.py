import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from finetune.toys import RECIPE, Toy, same, validation
from overread_learn.evaluate import macro_auc
from overread_learn.finetune import choose, finetune, interpolate, probabilities, reestimate
from overread_learn.nets import Classifier, build

TRAIN = Toy(np.arange(32) % 2)


@pytest.fixture(scope="module")
def ends() -> tuple[Classifier, Classifier]:
    deployed = build("resnet18", 2, None, seed=0)
    return deployed, finetune(deployed, TRAIN, None, replace(RECIPE, epochs=2)).model


def test_the_way_between(ends: tuple[Classifier, Classifier]) -> None:
    deployed, new = ends
    before = copy.deepcopy(deployed)
    between = interpolate(deployed, new, 0.25).state_dict()
    for name, start in deployed.state_dict().items():
        end = new.state_dict()[name]
        if start.is_floating_point():
            assert torch.allclose(between[name], 0.75 * start + 0.25 * end, atol=1e-6)
    assert same(deployed, before)
    patches = validation(4)[0]
    for share, end in ((0, deployed), (1, new)):
        assert np.array_equal(probabilities(interpolate(*ends, share), patches), probabilities(end, patches))


def test_statistics_are_those_of_the_training_patches(ends: tuple[Classifier, Classifier]) -> None:
    deployed, _ = ends
    model = copy.deepcopy(deployed)
    recipe = replace(RECIPE, batch=8)
    reestimate(model, TRAIN, recipe)
    seen: list[torch.Tensor] = []
    model.net.conv1.register_forward_hook(lambda _module, _given, found: seen.append(found))  # type: ignore[union-attr]
    reestimate(model, TRAIN, recipe)
    norm = model.net.bn1
    assert isinstance(norm, nn.BatchNorm2d)
    means = torch.stack([one.mean(dim=(0, 2, 3)) for one in seen])
    variances = torch.stack([one.transpose(0, 1).flatten(1).var(dim=1) for one in seen])
    assert len(seen) == 4
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert torch.allclose(norm.running_mean, means.mean(0), atol=1e-5)
    assert torch.allclose(norm.running_var, variances.mean(0), rtol=1e-4)
    assert norm.momentum == 0.1
    assert not any(module.training for module in model.modules())
    learnt = dict(model.named_parameters())
    assert all(torch.equal(value, learnt[name]) for name, value in deployed.named_parameters())


def test_frozen_statistics_and_networks_without_any_stay(ends: tuple[Classifier, Classifier]) -> None:
    frozen = copy.deepcopy(ends[1]).requires_grad_(requires_grad=False)
    reestimate(frozen, TRAIN, RECIPE)
    assert same(frozen, ends[1])
    squeezenet = build("squeezenet1_1", 2, None, seed=0)
    reestimate(squeezenet, TRAIN, RECIPE)
    assert same(squeezenet, build("squeezenet1_1", 2, None, seed=0))


def test_the_statistics_of_what_did_not_learn_stay(ends: tuple[Classifier, Classifier]) -> None:
    deployed = copy.deepcopy(ends[0])
    for module in deployed.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
    found = choose(deployed, ends[1], TRAIN, validation(8), RECIPE, shares=(0.5,), depth=1).model
    ends_of = (deployed, found, choose(deployed, ends[1], TRAIN, validation(8), RECIPE, shares=(0.5,)).model)
    start, kept, anew = (model.state_dict()["net.bn1.running_mean"] for model in ends_of)
    halfway = torch.lerp(start, ends[1].state_dict()["net.bn1.running_mean"], 0.5)
    assert torch.equal(kept, halfway)
    assert not torch.allclose(anew, halfway)
    assert all(value.requires_grad for value in found.parameters())


def test_the_best_share_is_chosen_and_equals_go_to_the_deployed(ends: tuple[Classifier, Classifier]) -> None:
    held_out = validation(40)
    found = choose(*ends, TRAIN, held_out, RECIPE, shares=(1, 0, 0.5))
    assert [share for share, _ in found.tried] == [0, 0.5, 1]
    assert found.auc == max(figure for _, figure in found.tried)
    assert found.share == next(share for share, figure in found.tried if figure == found.auc)
    assert macro_auc(held_out[1], probabilities(found.model, held_out[0])) == found.auc
    assert found.auc > found.tried[0][1]
    still = choose(ends[0], ends[0], TRAIN, held_out, RECIPE, shares=(1, 0))
    assert (still.share, still.tried[0][1]) == (0, still.tried[1][1])


def test_what_is_refused(ends: tuple[Classifier, Classifier]) -> None:
    with pytest.raises(ValueError, match="resnet18 with 2 classes and squeezenet1_1 with 2 have no weights between"):
        interpolate(ends[0], build("squeezenet1_1", 2, None, seed=0), 0.5)
    with pytest.raises(ValueError, match="shares must be in 0"):
        choose(*ends, TRAIN, validation(4), RECIPE, shares=(0.5, 1.5))
