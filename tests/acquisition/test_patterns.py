import numpy as np
import pytest

from overread_learn.acquisition.patterns import PATTERNS, pattern, pattern_class, tally

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("name", "probabilities"),
    [
        ("A", [0.42, 0.55, 0.5, 0.47, 0.58]),
        ("B", [0.05, 0.93, 0.32, 0.71, 0.5, 0.18, 0.83]),
        ("C", [0.02, 0.98, 0.01, 0.97, 0.03, 0.99]),
        ("D", [0.01, 0.03, 0.02, 0.0]),
        ("E", [0.99, 0.97, 1.0, 0.98]),
        ("F", [0.01, 0.02, 0.0, 0.03, 0.02, 0.01, 0.03, 0.02, 0.55, 0.4]),
        ("G", [0.99, 0.98, 1.0, 0.97, 0.98, 0.99, 0.97, 0.98, 0.45, 0.6]),
    ],
)
def test_each_pattern_is_known_in_any_order(name: str, probabilities: list[float]) -> None:
    assert pattern(np.array(probabilities)) == name
    assert pattern(RNG.permutation(probabilities)) == name
    # As often again is the same distribution.
    assert pattern(np.repeat(probabilities, 50)) == name


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_is_nearest_to_itself(name: str) -> None:
    assert PATTERNS[name].shape == (100,)
    assert (np.diff(PATTERNS[name]) >= 0).all()
    assert pattern(PATTERNS[name]) == name


def test_the_other_class_has_the_mirrored_pattern() -> None:
    mirror = {"A": "A", "B": "B", "C": "C", "D": "E", "E": "D", "F": "G", "G": "F"}
    for name, quantiles in PATTERNS.items():
        assert 1 - quantiles[::-1] == pytest.approx(PATTERNS[mirror[name]])
    for _ in range(200):
        p = RNG.beta(0.4, 0.6, size=9)
        assert pattern(1 - p) == mirror[pattern(p)]


@pytest.mark.parametrize(("p", "name"), [(0.0, "D"), (1.0, "E"), (0.5, "A")])
def test_one_patch(p: float, name: str) -> None:
    assert pattern(np.array([p])) == name


@pytest.mark.parametrize("wrong", [[], [[0.5]], [1.1], [-0.1], [np.nan]])
def test_what_has_no_pattern(wrong: list[float]) -> None:
    with pytest.raises(ValueError, match="at least one probability within"):
        pattern(np.array(wrong))


def test_of_several_classes_the_pattern_is_of_the_likeliest() -> None:
    # The patches waver between the first two classes, and none says the third: that is C, not D.
    wavering = np.tile([[6.0, 0, -20], [0, 6, -20], [6, 0, -20]], (1, 2, 1))
    assert tally(wavering).patterns == {"C": 1}
    assert tally(wavering).histogram == [2, 0, 0, 0, 0, 0, 0, 0, 0, 4]
    assert pattern_class(0, 3) == 0


def test_of_two_classes_the_pattern_is_of_the_second() -> None:
    surely_negative = np.tile([6.0, -6], (2, 5, 1))
    assert tally(surely_negative).patterns == {"D": 2}
    assert tally(surely_negative).histogram[0] == 10
    assert pattern_class(0, 2) == 1
