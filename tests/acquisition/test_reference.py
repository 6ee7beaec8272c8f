import numpy as np
import pytest

from overread_learn.acquisition import reference as module
from overread_learn.acquisition.aift import measure, score
from overread_learn.acquisition.reference import EPSILON, reference

SEVEN = [
    [0.5, 0.49, 0.51, 0.52, 0.48, 0.5, 0.505, 0.495, 0.51, 0.49, 0.52],
    [0.01, 0.1, 0.2, 0.31, 0.4, 0.51, 0.6, 0.69, 0.8, 0.92, 0.99],
    [0.002, 0.998] * 5 + [0.998],
    [0.998] * 11,
    [0.002] * 11,
    [0.997] * 9 + [0.04, 0.06],
    [0.003] * 9 + [0.96, 0.94],
]
"""AIFT's patterns A to G, eleven patches each."""


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("alpha", [1.0, 0.25])
@pytest.mark.parametrize(("entropy", "diversity"), [(1, 0), (0, 1), (1, 1), (2, 0.5)])
def test_the_closed_form_times_k_on_moderate_logits(
    classes: int, alpha: float, entropy: float, diversity: float
) -> None:
    logits = np.random.default_rng(classes).normal(size=(300, 11, classes))
    found = measure(logits, alpha)
    ours = score(found, found.k, entropy, diversity) * found.k
    assert reference(logits, alpha, entropy, diversity) == pytest.approx(ours, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("alpha", "entropy", "diversity", "first"),
    [(1, 1, 0, "A"), (0.25, 1, 0, "A"), (1, 0, 1, "C"), (1, 1, 1, "C"), (0.25, 0, 1, "B"), (0.25, 1, 1, "B")],
)
def test_first_choices_of_the_paper(alpha: float, entropy: float, diversity: float, first: str) -> None:
    p = np.array(SEVEN)
    found = reference(np.stack([np.log(1 - p), np.log(p)], axis=-1), alpha, entropy, diversity)
    assert "ABCDEFG"[int(found.argmax())] == first
    assert found[3] == pytest.approx(found[4], abs=1e-9)
    assert found[5] == pytest.approx(found[6], rel=1e-9)


def test_it_differs_where_probabilities_saturate() -> None:
    # Two patches of opposite certainty: the divergence grows with the logits, its epsilon does not let it.
    logits = np.array([[[0.0, 60.0], [60.0, 0.0]]])
    assert measure(logits, 1.0).diversity[0] == pytest.approx(2 * 2 * 60)
    assert reference(logits, 1.0, 0, 1)[0] == pytest.approx(2 * 2 * -np.log(EPSILON), rel=1e-6)
    # So it takes these for as unlike as those.
    assert reference(2 * logits, 1.0, 0, 1) == pytest.approx(reference(logits, 1.0, 0, 1), rel=1e-6)


def test_chunks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = np.random.default_rng(0).normal(size=(50, 6, 3)).astype(np.float32)
    whole = reference(logits, 1.0, 1, 1)
    monkeypatch.setattr(module, "CHUNK", 1)
    assert reference(logits, 1.0, 1, 1).tolist() == whole.tolist()
