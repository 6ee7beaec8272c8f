from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from finetune.toys import RECIPE, Toy, same, validation
from overread_learn.evaluate import temperature
from overread_learn.finetune import Drift, cooled, drift, finetune, logits, probabilities, recalibrated
from overread_learn.nets import Classifier, build
from overread_learn.scoring import softmax


@pytest.mark.parametrize("arch", ["squeezenet1_1", "resnet18", "mobilenet_v2"])
@pytest.mark.parametrize("classes", [2, 3])
def test_a_cooled_head_divides_the_logits(arch: str, classes: int) -> None:
    model = build(arch, classes, None, seed=1)
    patches = validation(4)[0]
    for before, after in zip(logits(model, patches), logits(cooled(model, 2.5), patches), strict=True):
        assert np.allclose(after, before / 2.5, rtol=1e-4, atol=1e-7)
    assert same(model, build(arch, classes, None, seed=1))
    with pytest.raises(ValueError, match="above 0"):
        cooled(model, 0)


def loss(truth: NDArray[np.integer], found: NDArray[np.float64]) -> float:
    return float(-np.log(found[np.arange(len(truth)), truth]).mean())


def test_recalibration_undoes_what_made_the_network_too_sure() -> None:
    # A network that is five times as sure needs five times the temperature, and is the same again after it.
    held_out = validation(60)
    model = build("squeezenet1_1", 2, None, seed=2)
    fair, t = recalibrated(model, held_out)
    again, t_of_surer = recalibrated(cooled(model, 1 / 5), held_out)
    assert t_of_surer / t == pytest.approx(5, rel=0.01)
    assert np.allclose(probabilities(fair, held_out[0]), probabilities(again, held_out[0]), atol=1e-3)
    assert loss(held_out[1], probabilities(fair, held_out[0])) <= loss(held_out[1], probabilities(model, held_out[0]))
    assert same(model, build("squeezenet1_1", 2, None, seed=2)), "the next round goes on from it"


def test_the_head_carries_what_was_fitted() -> None:
    held_out = validation(12)
    model = build("resnet18", 2, None, seed=2)
    fair, t = recalibrated(model, held_out)
    found = logits(model, held_out[0])
    assert t == temperature(held_out[1], found)
    assert np.allclose(probabilities(fair, held_out[0]), [softmax(one / t).mean(axis=0) for one in found], atol=1e-6)


@pytest.fixture(scope="module")
def learnt() -> tuple[Classifier, Classifier]:
    start = build("resnet18", 2, None, seed=0)
    return start, finetune(start, Toy(np.arange(32) % 2), validation(20), replace(RECIPE, epochs=2)).model


def test_a_restart_that_wins_by_more_than_the_margin_is_drift(learnt: tuple[Classifier, Classifier]) -> None:
    worse, better = learnt
    held_out = validation(20)
    found = drift(worse, better, held_out, margin=0.02)
    gain = found.auc_restarted - found.auc_continued
    assert gain > 0.02
    assert found.drifted
    assert not drift(worse, better, held_out, margin=gain).drifted
    assert not drift(better, worse, held_out, margin=0).drifted
    assert not drift(better, better, held_out, margin=0).drifted
    assert Drift(auc_continued=0.8, auc_restarted=0.9, margin=0.05).drifted
    with pytest.raises(ValueError, match="margin must be 0 or more"):
        drift(worse, better, held_out, margin=-0.1)


def test_mean_patch_probabilities() -> None:
    model = build("squeezenet1_1", 3, None, seed=0)
    patches = validation(4)[0]
    with torch.inference_mode():
        expected = [torch.softmax(model(torch.from_numpy(one)), 1).mean(0).numpy() for one in patches]
    assert np.allclose(probabilities(model, patches), np.stack(expected), atol=1e-6)
    assert [one.shape for one in logits(model, patches)] == [(2, 3), (3, 3), (2, 3), (3, 3)]
