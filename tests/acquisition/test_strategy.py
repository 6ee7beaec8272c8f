from itertools import product

import pytest

from overread_learn.acquisition import AUTO, GRAMMAR, STRATEGIES, strategy
from overread_learn.acquisition.select import DRAWS
from overread_learn.acquisition.strategy import ALIASES
from overread_learn.acquisition.uncertainty import MEASURES

AIFT = {"entropy": (1, 0), "diversity": (0, 1), "sum": (1, 1), "aift-2-0.5": (2, 0.5)}


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_listed_name_is_a_strategy(name: str) -> None:
    found = strategy(name)
    assert found.name == name
    assert found.draw in DRAWS
    assert not found.cold or not strategy(found.cold).cold


def test_every_measure_and_every_draw_has_a_name() -> None:
    found = [strategy(name) for name in STRATEGIES]
    assert {one.measure for one in found} >= {"aift", *MEASURES}
    assert {one.draw for one in found} | {strategy(one.cold).draw for one in found if one.cold} == set(DRAWS)
    assert AUTO in STRATEGIES
    assert set(ALIASES) <= set(STRATEGIES)
    for name in (*MEASURES, "random", "scratch", "stratified", "badge", "coreset", "typiclust", *ALIASES):
        assert name in GRAMMAR


ALPHAS = {"": 1, "@.25": 0.25, "@1": 1}
DRAWN = {
    "": ("best", 0),
    "~3": ("randomised", 3),
    "^0.5": ("power", 0.5),
    "+badge": ("badge", 5),
    "+badge2.5": ("badge", 2.5),
}


@pytest.mark.parametrize("measure", [*AIFT, *MEASURES])
def test_every_combination(measure: str) -> None:
    for alpha, drawn, cold in product(ALPHAS, DRAWN, ("", "random", "typiclust", "entropy@.25")):
        name = f"{cold}:{measure}{alpha}{drawn}".removeprefix(":")
        if alpha and measure not in AIFT:
            with pytest.raises(ValueError, match=r"@ is for AIFT's measures"):
                strategy(name)
            continue
        found = strategy(name)
        assert (found.name, found.draw, found.factor) == (name, *DRAWN[drawn])
        assert found.alpha == ALPHAS[alpha]
        assert found.cold == (cold or ("" if measure in AIFT else "random"))
        assert found.embeds == ("badge" in drawn or cold == "typiclust")
        weights = AIFT.get(measure, (0, 0))
        assert (found.measure, found.entropy, found.diversity) == ("aift" if measure in AIFT else measure, *weights)


def test_names_of_combinations() -> None:
    acft = strategy("acft")
    assert (acft.diversity, acft.entropy, acft.alpha, acft.draw, acft.factor) == (1, 0, 0.25, "randomised", 5)
    behind = strategy("typiclust:acft")
    assert (behind.draw, behind.factor, behind.cold) == ("randomised", 5, "typiclust")
    assert strategy("scratch").restart
    assert not strategy("random").restart


def test_what_is_drawn_by_chance_alone() -> None:
    names = [*STRATEGIES, "random:random", "typiclust:random", "random:entropy"]
    assert [name for name in names if strategy(name).at_random] == ["random", "scratch", "random:random"]


@pytest.mark.parametrize(
    ("name", "blind"),
    [
        ("typiclust", "random"),
        ("badge", "random"),
        ("typiclust:coreset", "random"),
        ("margin+badge", "margin"),
        ("auto", "random:entropy@.25"),
        ("typiclust:acft", "random:acft"),
        ("coreset:entropy@.25~5", "random:entropy@.25~5"),
        ("typiclust:stratified", "random:stratified"),
        ("entropy@.25+badge2:margin^2", "entropy@.25:margin^2"),
        ("acft:coreset", "acft:random"),
        ("aift-2-.5@.5+badge3", "aift-2-.5@.5"),
        ("random", "random"),
        ("scratch:acft", "scratch:acft"),
        ("margin^1", "margin^1"),
    ],
)
def test_what_is_left_of_it_without_embeddings(name: str, blind: str) -> None:
    """Of both parts, the cold start and the one behind it, only what looks at embeddings gives way."""
    named = strategy(name)
    assert named.blind == strategy(blind)
    assert not named.blind.embeds
    assert named.blind.measure == named.measure
    assert named.embeds or named.blind == named


@pytest.mark.parametrize(
    ("name", "phases"),
    [
        ("scratch", ("scratch", "scratch")),
        ("random", ("first", "later")),
        ("sum@.25", ("first", "later")),
        ("diversity", ("first", "later_diversity")),
        ("random:acft", ("first", "later_diversity")),
    ],
)
def test_which_phase_of_table_3_a_round_trains_by(name: str, phases: tuple[str, str]) -> None:
    assert tuple(strategy(name).phase(learnt=learnt) for learnt in (False, True)) == phases


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("", "unknown strategy ''"),
        ("marge", "unknown strategy 'marge'; known are auto, random"),
        ("Entropy", "unknown"),
        ("entropy ", "unknown"),
        ("entropy@", "unknown"),
        ("entropy@.25~", "unknown"),
        ("entropy~5^2", "unknown"),
        ("entropy+badge.", "unknown"),
        ("entropy~-1", "unknown"),
        ("entropy~nan", "unknown"),
        ("entropy-1-2", "unknown"),
        ("aift", "unknown"),
        ("aift-1", "unknown"),
        (":entropy", "unknown strategy ':entropy'"),
        ("random:", "unknown strategy 'random:'"),
        ("marge:entropy", "unknown strategy 'marge'"),
        ("random:typiclust:entropy", "'random:typiclust' has|random:typiclust has a cold start itself"),
        ("margin:entropy", r"margin has a cold start itself \(random\)"),
        ("entropy@0", "share above 0, at most 1"),
        ("entropy@1.5", "share above 0, at most 1"),
        ("margin@.25", "AIFT's measures"),
        ("aift-0-0", "both weights are zero"),
        (f"aift-{10**400}-1", r"weights, omega and beta are at most 3\.4e\+38"),
        (f"margin~{10**39}", r"at most 3\.4e\+38"),
        (f"margin^{10**400}", r"at most 3\.4e\+38"),
        (f"margin+badge{10**400}", r"at most 3\.4e\+38"),
        ("random@.25", "random measures nothing"),
        ("badge~5", "badge measures nothing"),
        ("coreset^1", "coreset measures nothing"),
        ("typiclust+badge", "typiclust measures nothing"),
    ],
)
def test_what_is_no_strategy(name: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        strategy(name)


def test_the_message_teaches_the_grammar() -> None:
    with pytest.raises(ValueError, match="unknown") as caught:
        strategy("marge")
    assert GRAMMAR.splitlines()[0] in str(caught.value)
