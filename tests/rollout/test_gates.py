"""The gate on numbers that can be reckoned by hand: worse fails, equal passes, too few is no answer at all."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from inference.words import NOWHERE
from overread.core.errors import Misconfigured
from overread.rollout.gates import Answer, Protocol, enough, judge, load
from overread.rollout.locked import Case, LockedSet

PROTOCOL, SHA256 = load(None)
LABELS = [1, 0, 0] * 12
"""Twelve patients, each with a lesion and two false candidates."""


def locked(
    labels: Sequence[int | None] = LABELS, *, patients: int = 12, detector: Sequence[float] | None = None
) -> LockedSet:
    cases = tuple(
        Case(f"c-{place:03}", f"p-{place * patients // len(labels)}", NOWHERE, label, detector and detector[place])
        for place, label in enumerate(labels)
        if label is not None
    )
    return LockedSet(cases, len(labels), len(labels), 0)


def scores(swapped: int, seed: int = 0) -> list[float]:
    """Perfect scores but for `swapped` patients whose lesion lies below their false candidates."""
    rng = np.random.default_rng(seed)
    found = [0.8 * label + 0.1 + 0.05 * float(rng.random()) for label in LABELS]
    for patient in range(swapped):
        at = 3 * patient
        found[at] = 0.01
    return found


def test_what_is_equal_is_not_worse() -> None:
    own = scores(2)
    verdict = judge(PROTOCOL, locked(), own, {"champion": own, "cleared": own})
    assert verdict.answer is Answer.SUCCESSFUL
    assert verdict.gate == "non-inferiority"
    assert verdict.evidence["lower_champion"] == verdict.evidence["lower_cleared"] == 0
    # Two of twelve lesions lie below all 24 negatives: 10/12.
    assert verdict.evidence["auc_locked"] == verdict.evidence["auc_champion"] == pytest.approx(10 / 12)
    assert verdict.evidence["auc_cleared"] == pytest.approx(10 / 12)
    assert (verdict.evidence["positives"], verdict.evidence["negatives"]) == (12, 24)
    assert verdict.evidence["patients"] == 12


def test_what_is_better_passes_and_what_is_worse_than_either_fails() -> None:
    better, worse = scores(0), scores(4)
    assert judge(PROTOCOL, locked(), better, {"champion": worse, "cleared": worse}).answer is Answer.SUCCESSFUL
    for references in ({"champion": better, "cleared": worse}, {"champion": worse, "cleared": better}):
        verdict = judge(PROTOCOL, locked(), worse, references)
        assert verdict.answer is Answer.FAILED
        (guilty,) = [name for name in references if references[name] is better]
        assert f"against {guilty}" in verdict.reason
        assert "margin is -0.03" in verdict.reason


def test_a_difference_that_few_patients_cannot_exclude_fails_though_its_point_is_within_the_margin() -> None:
    """One lesion slips below a third of the negatives: 0.028 less, and the lower bound is beyond the margin."""
    champion = scores(0)
    own = list(champion)
    own[0] = float(np.quantile([s for s, label in zip(champion, LABELS, strict=True) if not label], 2 / 3))
    verdict = judge(PROTOCOL, locked(), own, {"champion": champion, "cleared": champion})
    difference = verdict.evidence["auc_locked"] - verdict.evidence["auc_champion"]  # type: ignore[operator]
    assert -0.03 < difference < 0
    assert verdict.answer is Answer.FAILED


def test_patients_and_not_candidates_are_counted() -> None:
    """The same numbers from two patients say less than from twelve."""
    own = scores(3, seed=1)
    many = judge(PROTOCOL, locked(patients=12), own, {})
    few = judge(PROTOCOL, locked(patients=3), own, {})
    assert many.evidence["auc_locked"] == few.evidence["auc_locked"]
    assert many.evidence["auc_lower"] > few.evidence["auc_lower"]  # type: ignore[operator]


def test_the_first_clearance_is_against_chance() -> None:
    verdict = judge(PROTOCOL, locked(), scores(1), {})
    assert verdict.answer is Answer.SUCCESSFUL
    assert verdict.gate == "first-clearance"
    coin = [float(np.random.default_rng(0).permutation(len(LABELS))[place]) for place in range(len(LABELS))]
    assert judge(PROTOCOL, locked(), coin, {}).answer is Answer.FAILED
    flipped = [1 - score for score in scores(0)]
    assert judge(PROTOCOL, locked(), flipped, {}).answer is Answer.FAILED


def test_the_first_clearance_is_also_against_the_detectors_own_score() -> None:
    own, detector = scores(2), scores(1)
    verdict = judge(PROTOCOL, locked(detector=detector), own, {})
    assert verdict.answer is Answer.FAILED
    assert "first-pass detector" in verdict.reason
    assert verdict.evidence["detector_auc"] == pytest.approx(11 / 12)
    assert judge(PROTOCOL, locked(detector=own), own, {}).answer is Answer.FAILED, "as good as it is not above it"
    assert judge(PROTOCOL, locked(detector=scores(3)), own, {}).answer is Answer.SUCCESSFUL


def test_a_detector_that_scored_only_some_is_no_rival() -> None:
    partly = [None if place == 5 else score for place, score in enumerate(scores(0))]
    verdict = judge(PROTOCOL, locked(detector=partly), scores(2), {})  # type: ignore[arg-type]
    assert verdict.evidence["detector_auc"] is None
    assert verdict.answer is Answer.SUCCESSFUL


def test_enough_looks_at_counts_alone() -> None:
    assert enough(PROTOCOL, locked()) is None
    assert enough(PROTOCOL, LockedSet((), 0, 0, 0)) is not None
    few = locked([1, 0, 0] * 9, patients=9)
    assert enough(PROTOCOL, few) == "inconclusive: 9 positives of 10, 18 negatives of 20"
    crowd = locked(patients=4)
    assert enough(PROTOCOL, crowd) == "inconclusive: 4 patients of 5"
    unread = locked()._replace(candidates=100)
    assert enough(PROTOCOL, unread) == "inconclusive: 0.36 share read of 0.95"


def test_patients_are_counted_in_the_rarer_class() -> None:
    """Twelve lesions of one patient are one case of disease, whoever brought the false candidates."""
    labels = [1] * 12 + [0] * 24
    assert enough(PROTOCOL, locked(labels, patients=36 // 12)) == "inconclusive: 1 patients of 5"


def test_unlabelled_reads_count_as_read_and_as_nothing_else() -> None:
    labels: list[int | None] = [*LABELS, None, None, None]
    assert enough(PROTOCOL, locked(labels)) is None
    assert len(locked(labels).cases) == 36


def test_the_protocol_that_comes_with_it_is_the_designs_and_its_hash_is_of_its_bytes() -> None:
    from overread.rollout import gates  # noqa: PLC0415

    path = Path(gates.__file__).with_name("protocol.yaml")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == SHA256
    assert (PROTOCOL.alpha, PROTOCOL.margin, PROTOCOL.signoff.required) == (0.05, 0.03, 1)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "version: 1", "{", "nonsense: 1\n", "margin: 0.9"],
    ids=["empty", "list", "missing", "broken", "unknown", "impossible"],
)
def test_a_protocol_that_cannot_work_is_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / "protocol.yaml"
    path.write_text(text)
    with pytest.raises(Misconfigured, match=r"rollout\.protocol"):
        load(path)
    with pytest.raises(Misconfigured, match="absent"):
        load(tmp_path / "absent.yaml")


def test_an_unknown_word_in_the_protocol_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "protocol.yaml"
    path.write_text(PROTOCOL.model_dump_json()[:-1] + ', "margins": 0.5}')
    with pytest.raises(Misconfigured, match="margins"):
        load(path)
    path.write_text(PROTOCOL.model_dump_json())
    assert load(path)[0] == Protocol(**PROTOCOL.model_dump())
