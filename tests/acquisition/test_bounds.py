"""What no arithmetic can be done with is refused by its candidate's name; what float32 holds is ranked."""

import json
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from overread_learn.acquisition import STRATEGIES, Pool, select
from overread_learn.acquisition.aift import measure
from overread_learn.acquisition.bounds import LARGEST, fault
from overread_learn.acquisition.explain import explain, explain_picks
from overread_learn.acquisition.reference import reference

ALL = [*STRATEGIES, "sum@.25^2", "patch-jsd~3", "random:sum+badge3", "margin^60"]
RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.empty(0), ""),
        (np.array([LARGEST, -LARGEST]), ""),
        (np.array([LARGEST, -LARGEST], np.float32), ""),
        (np.array([65504, -65504], np.float16), ""),
        (np.array([0, np.inf], np.float16), "not finite"),
        (np.array([0, -np.inf], np.float32), "not finite"),
        (np.array([[0, np.nan], [1, 2]]), "not finite"),
        (np.array([[1e308, np.nan], [1, 2]]), "not finite"),
        (np.array([0, 1e39]), "beyond 3.4e+38, the largest that float32 holds"),
        (np.array([-1e308, 0]), "beyond 3.4e+38, the largest that float32 holds"),
    ],
)
def test_a_fault_is_said(values: NDArray[Any], said: str) -> None:
    assert fault(values) == said


def pool(corner: float, classes: int, kind: type[np.floating] = np.float64) -> Pool:
    """Candidates of which one has patches that say the greatest and the least."""
    logits = RNG.normal(size=(30, 6, classes)).astype(kind)
    logits[17, ::2, 0] = logits[17, 1::2, 1] = corner
    logits[17, 1::2, 0] = logits[17, ::2, 1] = -corner
    names = [f"c{index:02}" for index in range(30)]
    embeddings = RNG.normal(size=(30, 4)).astype(np.float32)
    return Pool.of(names, logits, embeddings=embeddings, counts=dict.fromkeys(range(classes), 2))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", ALL)
def test_what_float32_holds_is_ranked_and_its_json_is_valid(name: str, classes: int) -> None:
    for kind in (np.float32, np.float64):
        held = pool(LARGEST, classes, kind)
        for budget in (5, 30):
            picks = select(held, name, budget, seed=0, k_ref_m=6)
            json.dumps([asdict(pick) for pick in picks], allow_nan=False)
        found = explain_picks(held, held.ids, name, 5, seed=0, k_ref_m=6)
        json.dumps([asdict(one) for one in found.values()], allow_nan=False)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(
    ("corner", "said"), [(1e308, "beyond 3.4e"), (1e39, "beyond 3.4e"), (np.inf, "not finite"), (np.nan, "not finite")]
)
@pytest.mark.parametrize("name", ALL)
def test_what_it_does_not_hold_is_refused_by_every_strategy(name: str, corner: float, said: str, classes: int) -> None:
    held = pool(corner, classes)
    with pytest.raises(ValueError, match=f"candidate c17: a logit is {said}"):
        select(held, name, 5, seed=0, k_ref_m=6)
    with pytest.raises(ValueError, match=f"a logit is {said}"):
        explain(held.of_candidate(17), name)
    for refused in (lambda: measure(held.of_candidate(17)[None], 1.0), lambda: reference(held.logits[None], 1, 1, 1)):
        with pytest.raises(ValueError, match=f"a logit is {said}"):
            refused()


@pytest.mark.parametrize(("corner", "said"), [(1e308, "beyond 3.4e"), (np.nan, "not finite"), (-np.inf, "not finite")])
@pytest.mark.parametrize("name", ["badge", "coreset", "typiclust", "margin+badge9"])
def test_embeddings_likewise(name: str, corner: float, said: str) -> None:
    held = pool(1, 2)
    embeddings = RNG.normal(size=(30, 4))
    embeddings[17, 2] = corner
    with pytest.raises(ValueError, match=f"candidate c17: an embedding is {said}"):
        select(replace(held, embeddings=embeddings), name, 5, seed=0, k_ref_m=6)
    largest = np.where(np.isfinite(embeddings) & (np.abs(embeddings) < LARGEST), embeddings, LARGEST)
    picks = select(replace(held, embeddings=largest), name, 5, seed=0, k_ref_m=6)
    json.dumps([asdict(pick) for pick in picks], allow_nan=False)


@pytest.mark.parametrize(("corner", "said"), [(1e308, "beyond 3.4e"), (np.nan, "not finite")])
@pytest.mark.parametrize("name", ["coreset", "typiclust"])
def test_and_those_of_what_is_labelled(name: str, corner: float, said: str) -> None:
    held = replace(pool(1, 2), labelled=np.array([[0.0, 1, 2, 3], [1, corner, 0, 0]]))
    with pytest.raises(ValueError, match=f"an embedding of what is labelled is {said}"):
        select(held, name, 5, seed=0, k_ref_m=6)
