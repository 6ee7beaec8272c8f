"""Verdicts of readers, and how several readers' verdicts become one label."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What a reader says of a candidate."""

    CONFIRMED = "confirmed"
    """A lesion, where the mark is."""
    REJECTED = "rejected"
    """A false positive."""
    AMENDED = "amended"
    """A lesion, at the place that the correction names."""
    ADDED = "added"
    """A false negative of the candidate source: a lesion that nobody had marked."""
    UNSURE = "unsure"
    """Read, and no label."""
    WITHDRAWN = "withdrawn"
    """This reader takes back what they said of this candidate."""


LABEL = {
    Verdict.CONFIRMED: 1,
    Verdict.AMENDED: 1,
    Verdict.ADDED: 1,
    Verdict.REJECTED: 0,
    Verdict.UNSURE: None,
    Verdict.WITHDRAWN: None,
}

REASON_AT_MOST = 500
"""Characters of what a reader gives as a reason."""
READER = re.compile(r"[^\x00-\x1f\x7f]{1,64}")
"""What a reader may be called."""
NAME = re.compile(r"[A-Za-z0-9._:-]{8,128}")
"""What a correction may be called: a UUID as a rule, and no mere number."""

MOVES = frozenset({Verdict.AMENDED, Verdict.ADDED})
"""The verdicts that carry a place."""


@dataclass(frozen=True)
class Label:
    """The label of a candidate after all its readers.

    `value` is 1, 0, or None (nobody said, or they are split evenly). `agreement` is the share of labelling readers who
    said `value`; 0 where there is no value. `readers` counts the readers whose latest verdict stands.
    """

    value: int | None
    agreement: float
    readers: int


def adjudicate(latest: Iterable[Verdict]) -> Label:
    """Majority over each reader's latest verdict; an even split gives no label, so that it never teaches."""
    standing = [verdict for verdict in latest if verdict is not Verdict.WITHDRAWN]
    votes = [LABEL[verdict] for verdict in standing]
    ones, zeros = votes.count(1), votes.count(0)
    if ones == zeros:
        return Label(None, 0.0, len(standing))
    return Label(int(ones > zeros), max(ones, zeros) / (ones + zeros), len(standing))
