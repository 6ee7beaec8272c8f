"""What decided among embeddings is said as it was, and nothing else is called a score."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from overread_learn.acquisition import Pool, representatives, select
from overread_learn.acquisition.draws import lots
from overread_learn.acquisition.explain import explain_picks
from overread_learn.acquisition.grounds import Apart, Gradient, Typical
from overread_learn.acquisition.pool import patch_probabilities
from overread_learn.acquisition.select import spend

RNG = np.random.default_rng(3)
IDS = [f"c{index:02}" for index in range(40)]
POOL = Pool.of(
    IDS,
    RNG.normal(size=(40, 6, 3)) * 2,
    embeddings=RNG.normal(size=(40, 5)).astype(np.float32),
    counts={0: 2, 1: 2, 2: 2},
)


def gradients(pool: Pool) -> NDArray[np.float64]:
    """BADGE's gradients, made: the outer products of p - one-hot and the embedding."""
    assert pool.embeddings is not None
    p = pool.probabilities()
    outer = np.einsum("nc,nd->ncd", p - np.eye(p.shape[1])[p.argmax(axis=1)], pool.embeddings.astype(float))
    return np.asarray(outer.reshape(len(p), -1))


def distances(one: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared, (n, o)."""
    return np.asarray(((one[:, None] - others) ** 2).sum(axis=2))


@pytest.mark.parametrize("name", ["badge", "margin+badge3"])
def test_badge_says_the_distance_and_the_probability_of_each_draw(name: str) -> None:
    g, place = gradients(POOL), {each: index for index, each in enumerate(IDS)}
    within = list(range(40))
    if name != "badge":
        within = [place[pick.id] for pick in select(POOL, "margin", 24, seed=0, k_ref_m=6)]
    picks = select(POOL, name, 8, seed=0, k_ref_m=6)
    chosen = [place[pick.id] for pick in picks]
    for turn, pick in enumerate(picks):
        assert isinstance(pick.grounds, Gradient)
        assert pick.grounds.length == pytest.approx(np.linalg.norm(g[chosen[turn]]))
        nearest = distances(g, g[chosen[:turn]]).min(axis=1) if turn else (g**2).sum(axis=1)
        assert pick.grounds.squared_distance == pytest.approx(nearest[chosen[turn]])
        share = nearest[chosen[turn]] / nearest[within].sum() if turn else None
        assert pick.grounds.share == (None if share is None else pytest.approx(share))
        if name == "badge":
            assert pick.score == pick.grounds.squared_distance
    assert len({pick.id for pick in picks}) == 8


def test_of_others_badge_says_the_nearest_pick_or_that_nobody_looked() -> None:
    g, place = gradients(POOL), {each: index for index, each in enumerate(IDS)}
    spent = spend(POOL, "margin+badge2", 5, seed=0, k_ref_m=6)
    chosen = [place[pick.id] for pick in spent.picks]
    within = {pick.id for pick in select(POOL, "margin", 10, seed=0, k_ref_m=6)}
    found = explain_picks(POOL, IDS, "margin+badge2", 5, seed=0, k_ref_m=6)
    for index, each in enumerate(IDS):
        grounds = found[each].grounds
        assert (grounds is not None) == (each in within)
        if grounds is None:
            assert "its gradient was not looked at" in found[each].sentence
        elif index not in chosen:
            assert isinstance(grounds, Gradient)
            assert grounds.squared_distance == pytest.approx(distances(g[[index]], g[chosen]).min())
            assert grounds.share is None
            assert "(squared) from the nearest pick" in found[each].sentence


def test_badge_in_words_and_by_patches() -> None:
    picks = select(POOL, "badge", 4, seed=1, k_ref_m=6)
    found = explain_picks(POOL, [pick.id for pick in picks], "badge", 4, seed=1, k_ref_m=6)
    first, second = (found[pick.id] for pick in picks[:2])
    assert f"pick 1 of 4, its gradient the longest, {picks[0].grounds.length:.3g}" in first.sentence  # type: ignore[union-attr]
    assert isinstance(second.grounds, Gradient)
    assert second.grounds.share is not None
    said = f"was {second.grounds.squared_distance:.3g} (squared) from the nearest earlier pick: "
    assert f"{said}{second.grounds.share:.2%} of the sum over all, its probability in that draw" in second.sentence
    assert second.value == second.grounds.squared_distance
    # A patch's share is the reach of its own gradient, at the candidate's embedding, along that of the candidate.
    index = IDS.index(picks[1].id)
    p, h = patch_probabilities(POOL.of_candidate(index)), np.asarray(POOL.embeddings, float)[index]  # type: ignore[arg-type]
    own = np.stack([np.outer(row - np.eye(3)[p.mean(axis=0).argmax()], h).ravel() for row in p])
    whole = own.mean(axis=0)
    expected = own @ whole / np.linalg.norm(whole) / len(p)
    assert [patch.gradient for patch in second.patches] == pytest.approx(expected.tolist())
    assert sum(patch.gradient or 0 for patch in second.patches) == pytest.approx(second.grounds.length)
    # Nobody looked at gradients here.
    other = explain_picks(POOL, IDS[:1], "margin", 4, seed=1, k_ref_m=6)[IDS[0]]
    assert {patch.gradient for patch in other.patches} == {None}


def test_badge_where_all_that_is_left_equals_a_pick() -> None:
    pool = Pool.of(list("abcd"), np.zeros((4, 2, 2)), embeddings=np.ones((4, 3)), counts={0: 1, 1: 1})
    picks = select(pool, "badge", 4, seed=0, k_ref_m=2)
    assert [pick.score for pick in picks] == [pytest.approx(1.5), 0, 0, 0]
    assert [pick.grounds.share for pick in picks[1:]] == [1 / 3, 1 / 2, 1]  # type: ignore[union-attr]
    found = explain_picks(pool, list("abcd"), "badge", 4, seed=0, k_ref_m=2)
    assert sum("equal to a pick's as all that were left were: by lot" in one.sentence for one in found.values()) == 3
    certain = replace(pool, logits=np.tile([[0.0, 1e4]], (8, 1)))
    (none, _, *_) = explain_picks(certain, ["a", "b"], "badge", 2, seed=0, k_ref_m=2).values()
    assert [patch.gradient for patch in none.patches] == [0, 0]


@pytest.mark.parametrize("answered", [0, 4])
def test_coreset_says_its_distance(answered: int) -> None:
    labelled = RNG.normal(size=(answered, 5))
    pool = replace(POOL, labelled=labelled)
    h = np.asarray(POOL.embeddings, float)
    picks = select(pool, "coreset", 6, seed=0, k_ref_m=6)
    chosen = [IDS.index(pick.id) for pick in picks]
    for turn, pick in enumerate(picks):
        before = np.concatenate([labelled, h[chosen[:turn]]])
        assert isinstance(pick.grounds, Apart)
        if not len(before):
            assert pick.grounds.middle == pytest.approx(np.linalg.norm(h[chosen[0]] - h.mean(axis=0)))
            assert pick.score is pick.grounds.distance is None, "the nearest, not the farthest, was taken"
        else:
            expected = np.sqrt(distances(h[[chosen[turn]]], before).min())
            assert pick.score == pick.grounds.distance == pytest.approx(expected)
    (other,) = explain_picks(pool, ["c39" if 39 not in chosen else "c38"], "coreset", 6, seed=0, k_ref_m=6).values()
    assert isinstance(other.grounds, Apart)
    assert f"{other.value:.3g} from the nearest of them" in other.sentence


def typicality(h: NDArray[np.float64], members: list[int], place: int) -> float:
    """By its definition."""
    unit = h / np.linalg.norm(h, axis=1, keepdims=True)
    near = np.sort(np.sqrt(distances(unit[[place]], unit[members])))[0, 1:21]
    return float(1 / near.mean())


@pytest.mark.parametrize("answered", [0, 7])
def test_typiclust_says_typicality_and_cluster(answered: int) -> None:
    labelled = RNG.normal(size=(answered, 5))
    pool, h = replace(POOL, labelled=labelled), np.asarray(POOL.embeddings, float)
    spent = spend(pool, "typiclust", 9, seed=0, k_ref_m=6)
    told = [spent.grounds(index) for index in range(40)]
    of = [one.cluster for one in told if isinstance(one, Typical)]
    assert len(of) == 40
    clusters = representatives._clusters(
        np.concatenate(
            [part / np.linalg.norm(part, axis=1, keepdims=True) for part in (h, sorted_rows(labelled)) if len(part)]
        ),
        9 + answered,
        0,
    )
    assert of == clusters[:40].tolist()
    covered = np.bincount(clusters[40:], minlength=9 + answered)
    everything = np.concatenate([h, sorted_rows(labelled)])
    for pick in spent.picks:
        grounds = pick.grounds
        assert isinstance(grounds, Typical)
        members = np.flatnonzero(clusters == grounds.cluster).tolist()
        assert (grounds.size, grounds.clusters) == (len(members), 9 + answered)
        assert grounds.covered == covered[grounds.cluster]
        covered[grounds.cluster] += 1
        if len(members) > 1:
            assert pick.score == pytest.approx(typicality(everything, members, IDS.index(pick.id)))
        else:
            assert pick.score is None
    for index, one in enumerate(told):
        assert isinstance(one, Typical)
        if IDS[index] not in {pick.id for pick in spent.picks}:
            assert one.covered == covered[one.cluster], "as it is in the end"
    found = explain_picks(pool, [spent.picks[0].id], "typiclust", 9, seed=0, k_ref_m=6)[spent.picks[0].id]
    assert f"typicality {found.value:.3g} (1 / the mean distance" in found.sentence
    # With labels in every large cluster that is no longer one which none covers.
    assert "of a cluster that the fewest labels and earlier picks cover, those below 5 members last" in found.sentence
    assert f"members; labels and earlier picks among them: {spent.picks[0].grounds.covered}" in found.sentence  # type: ignore[union-attr]
    assert f"rank 1 among the unread of cluster {found.grounds.cluster}, one of {9 + answered}" in found.sentence  # type: ignore[union-attr]


def sorted_rows(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """In the order in which their unit vectors sort."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return rows[sorted(range(len(rows)), key=lambda index: unit[index].tolist())]


def test_typicality_where_neighbours_are_equal_alone_or_a_crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    # Of a length that rounding does not leave at 1.
    equal = Pool.of(list("abc"), np.zeros((3, 2, 2)), embeddings=np.tile(RNG.normal(size=512), (3, 1)))
    (pick,) = select(equal, "typiclust", 1, seed=0, k_ref_m=2)
    assert isinstance(pick.grounds, Typical)
    assert (pick.score, pick.grounds.distance) == (None, 0)
    assert "without bound" in explain_picks(equal, ["a"], "typiclust", 1, seed=0, k_ref_m=2)["a"].sentence
    alone = Pool.of(["a"], np.zeros((1, 2, 2)), embeddings=np.ones((1, 2)))
    assert "no typicality" in explain_picks(alone, ["a"], "typiclust", 1, seed=0, k_ref_m=2)["a"].sentence
    monkeypatch.setattr(representatives, "CROWD", 2)
    crowd = Pool.of(IDS, np.zeros((40, 2, 2)), embeddings=1 + RNG.random((40, 2)))
    spent = spend(crowd, "typiclust", 1, seed=0, k_ref_m=2)
    found = [spent.grounds(index) for index in range(40)]
    assert sum(isinstance(one, Typical) and one.distance is not None for one in found) == 2
    assert sorted(one.place for one in found if isinstance(one, Typical)) == list(range(40))


@pytest.mark.parametrize("name", ["badge", "coreset", "typiclust"])
def test_a_lot_that_nobody_looked_at_is_no_score(name: str) -> None:
    drawn = set(lots(0, IDS).tolist())
    assert not drawn & {pick.score for pick in select(POOL, name, 8, seed=0, k_ref_m=6)}
    assert drawn > {pick.score for pick in select(POOL, "random", 8, seed=0, k_ref_m=6)}
    assert {pick.grounds for pick in select(POOL, "sum", 8, seed=0, k_ref_m=6)} == {None}
