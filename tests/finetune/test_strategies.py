import numpy as np
import pytest

from finetune.toys import RECIPE, Toy
from overread_learn.finetune import STRATEGIES, OneClass, finetune, misclassified, plan
from overread_learn.nets import build

LABELS = np.array([0, 0, 0, 0, 0, 0, 1, 1, 0, 1])
NEW = np.arange(10) >= 8
WRONG = np.isin(np.arange(10), [1, 7, 9])  # 9 is new: H is of the old ones alone


@pytest.mark.parametrize(
    ("strategy", "start", "indices"),
    [
        ("RFT(LQ)", "m0", range(10)),
        ("AFT(LQ)", "m0", range(10)),
        ("ACFT(Q)", "parent", [8, 9]),
        ("ACFT(LQ)", "parent", range(10)),
        ("ACFT(HQ)", "parent", [1, 7, 8, 9]),
        ("rehearsal", "parent", [1, 7, 8, 9]),
    ],
)
def test_table_2(strategy: str, start: str, indices: list[int]) -> None:
    found = plan(strategy, LABELS, NEW, WRONG, seed=0)
    assert found.start == start
    assert found.indices.tolist() == list(indices)


def test_the_reservoir_is_balanced_as_far_as_classes_go_and_seeded() -> None:
    labels = np.repeat([0, 1, 2], [80, 12, 8])
    new = np.arange(100) % 10 == 0
    wrong = np.arange(100) == 98
    found = plan("rehearsal", labels, new, wrong, seed=3, reservoir=30).indices
    kept = np.setdiff1d(found, np.flatnonzero(new | wrong))
    assert len(kept) == 30
    # Of ones 10 are neither new nor wrong, of twos 7: all of the twos are kept, and the others fill up what they lack.
    assert np.bincount(labels[kept]).tolist() == [13, 10, 7]
    assert set(np.flatnonzero(new | wrong)) <= set(found.tolist())
    assert plan("rehearsal", labels, new, wrong, seed=3, reservoir=30).indices.tolist() == found.tolist()
    assert plan("rehearsal", labels, new, wrong, seed=4, reservoir=30).indices.tolist() != found.tolist()


def test_a_reservoir_larger_than_what_is_left_takes_everything_once() -> None:
    assert plan("rehearsal", LABELS, NEW, WRONG, seed=0, reservoir=50).indices.tolist() == list(range(10))


def test_each_old_candidate_has_the_same_chance_within_its_class() -> None:
    labels = np.repeat([0, 1], [20, 5])
    none = np.zeros(25, bool)
    drawn = [plan("rehearsal", labels, none, none, seed=seed, reservoir=6).indices for seed in range(2000)]
    share = np.bincount(np.concatenate(drawn), minlength=25) / 2000
    # Three of each class; four standard errors of a share at most.
    assert np.allclose(share, np.repeat([3 / 20, 3 / 5], [20, 5]), atol=4 * np.sqrt(0.24 / 2000))


def test_the_first_round_has_only_new_labels() -> None:
    everything = np.ones(10, bool)
    for strategy in STRATEGIES:
        assert plan(strategy, LABELS, everything, WRONG, seed=0).indices.tolist() == list(range(10))


def test_who_is_wrong() -> None:
    probabilities = np.array([[0.5, 0.5], [0.5, 0.5], [0.4, 0.6], [0.4, 0.6]])
    assert misclassified(np.array([0, 1, 0, 1]), probabilities).tolist() == [False, True, True, False]
    assert misclassified(np.array([2, 0]), np.array([[0.2, 0.3, 0.5]] * 2)).tolist() == [False, True]


def test_one_class_of_new_labels_is_the_steps_to_refuse() -> None:
    chosen = plan("ACFT(Q)", np.zeros(4, int), np.ones(4, bool), np.zeros(4, bool), seed=0).indices
    with pytest.raises(OneClass):
        finetune(build("squeezenet1_1", 2, None, seed=0), Toy(np.zeros(4, int)[chosen]), None, RECIPE)


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown strategy 'ACFT\(L\)'; known are RFT\(LQ\), AFT\(LQ\)"):
        plan("ACFT(L)", LABELS, NEW, WRONG, seed=0)
    with pytest.raises(ValueError, match="one length"):
        plan("ACFT(Q)", LABELS, NEW[:9], WRONG, seed=0)
    with pytest.raises(ValueError, match=r"ACFT\(HQ\) can't keep a reservoir of 5"):
        plan("ACFT(HQ)", LABELS, NEW, WRONG, seed=0, reservoir=5)
    with pytest.raises(ValueError, match="reservoir of -1"):
        plan("rehearsal", LABELS, NEW, WRONG, seed=0, reservoir=-1)
