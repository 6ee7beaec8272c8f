from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from finetune.toys import RECIPE, Toy, same, validation
from overread_learn.depth import cache, finetune_last
from overread_learn.finetune import EpochReport, Fitted, OtherTraining, finetune
from overread_learn.nets import Classifier, build

TRAIN = Toy(np.arange(16) % 2)
SHORT = replace(RECIPE, epochs=3, balance=True)


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture(scope="module", params=["squeezenet1_1", "resnet18"])  # dropout; batch norm
def parent(request: pytest.FixtureRequest) -> Classifier:
    return build(request.param, 2, None, seed=0)


@pytest.fixture(scope="module")
def straight(parent: Classifier) -> Fitted:
    return finetune(parent, TRAIN, validation(4), SHORT)


def kill_after(epoch: int, parent: Classifier, checkpoint: Path) -> None:
    def dies(report: EpochReport) -> None:
        if report.epoch == epoch:
            raise Killed

    with pytest.raises(Killed):
        finetune(parent, TRAIN, validation(4), SHORT, dies, checkpoint)


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_killed_and_resumed_equals_uninterrupted(
    epoch: int, parent: Classifier, straight: Fitted, tmp_path: Path
) -> None:
    kill_after(epoch, parent, tmp_path / "round")
    torch.rand(5)  # another process has drawn other numbers
    heard: list[EpochReport] = []
    fitted = finetune(parent, TRAIN, validation(4), SHORT, heard.append, tmp_path / "round")
    assert fitted.history == straight.history
    assert fitted.best_epoch == straight.best_epoch
    assert same(fitted.model, straight.model)
    assert [report.epoch for report in heard] == list(range(epoch + 1, 4))
    assert [path.name for path in tmp_path.iterdir()] == ["round"]  # no partial file


def test_it_goes_on_with_as_many_threads_as_it_began_with(
    parent: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.get_num_threads()
    seen: list[int] = []

    def features(*given: object) -> object:
        seen.append(torch.get_num_threads())
        return compute(*given)

    compute = cache.features
    monkeypatch.setattr(cache, "features", features)
    try:
        torch.set_num_threads(2)
        kill_after(1, parent, tmp_path / "round")
        torch.set_num_threads(1)  # another machine: sums in another order, and a model that no training makes
        finetune(parent, TRAIN, validation(4), SHORT, checkpoint=tmp_path / "round")
        assert torch.get_num_threads() == 2
        torch.set_num_threads(2)
        finetune_last(parent, 1, TRAIN, validation(4), SHORT, checkpoint=tmp_path / "head")
        torch.set_num_threads(1)
        seen.clear()
        finetune_last(parent, 1, TRAIN, validation(4), SHORT, checkpoint=tmp_path / "head")
        assert set(seen) == {2}, "the features are those of before"
    finally:
        torch.set_num_threads(before)


def test_a_checkpoint_changes_nothing_and_leaves_the_generators_alone(
    parent: Classifier, straight: Fitted, tmp_path: Path
) -> None:
    before = torch.get_rng_state()
    fitted = finetune(parent, TRAIN, validation(4), SHORT, checkpoint=tmp_path / "round")
    assert same(fitted.model, straight.model)
    assert torch.equal(torch.get_rng_state(), before)
    again = finetune(parent, TRAIN, validation(4), SHORT, checkpoint=tmp_path / "round")
    assert same(again.model, straight.model)
    assert torch.equal(torch.get_rng_state(), before)


def test_another_training_is_refused(tmp_path: Path) -> None:
    parent = build("squeezenet1_1", 2, None, seed=0)
    path = tmp_path / "round"
    kill_after(1, parent, path)
    held_out = validation(4)
    with pytest.raises(OtherTraining, match="by its recipe: remove it"):
        finetune(parent, TRAIN, held_out, replace(SHORT, epochs=4), checkpoint=path)
    with pytest.raises(OtherTraining, match="by its data: "):
        finetune(parent, Toy(np.arange(16) // 8), held_out, SHORT, checkpoint=path)
    with pytest.raises(OtherTraining, match="by its data: "):
        finetune(parent, TRAIN, ([one + 1 for one in held_out[0]], held_out[1]), SHORT, checkpoint=path)
    with pytest.raises(OtherTraining, match="by its data: "):
        finetune(parent, TRAIN, None, SHORT, checkpoint=path)
    with pytest.raises(OtherTraining, match="by its recipe and its start weights: "):
        finetune(build("squeezenet1_1", 2, None, seed=1), TRAIN, held_out, replace(SHORT, rate=0), checkpoint=path)
    frozen = build("squeezenet1_1", 2, None, seed=0)
    next(frozen.parameters()).requires_grad = False
    with pytest.raises(OtherTraining, match="by its start weights: "):
        finetune(frozen, TRAIN, held_out, SHORT, checkpoint=path)


@pytest.mark.parametrize("content", ["nothing of the kind", {"model": 1}])
def test_what_is_no_checkpoint_is_said_and_kept(content: object, tmp_path: Path) -> None:
    path = tmp_path / "round"
    torch.save(content, path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="round is no checkpoint"):
        finetune(build("squeezenet1_1", 2, None, seed=0), TRAIN, validation(4), SHORT, checkpoint=path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("part", ["model", "optimizer", "schedule", "rng", "torch", "history", "best", "cuda"])
@pytest.mark.parametrize("wrong", ["gone", "another"])
def test_a_checkpoint_that_lacks_a_part_is_of_no_training(part: str, wrong: str, tmp_path: Path) -> None:
    parent, path = build("squeezenet1_1", 2, None, seed=0), tmp_path / "round"
    kill_after(1, parent, path)
    kept = torch.load(path, weights_only=True)
    torch.save({**kept, part: "{}"} if wrong == "another" else {k: v for k, v in kept.items() if k != part}, path)
    with pytest.raises(OtherTraining, match="round lacks a part, or holds it wrong: remove it, or name another file"):
        finetune(parent, TRAIN, validation(4), SHORT, checkpoint=path)


def test_a_damaged_checkpoint_is_of_no_training(tmp_path: Path) -> None:
    parent, path = build("squeezenet1_1", 2, None, seed=0), tmp_path / "round"
    kill_after(1, parent, path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x40  # in the midst of some weight
    path.write_bytes(content)
    with pytest.raises(OtherTraining, match=r"round is damaged: .* does not match its checksum; remove it"):
        finetune(parent, TRAIN, validation(4), SHORT, checkpoint=path)
