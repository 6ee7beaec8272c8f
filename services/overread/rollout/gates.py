"""The gate: is the challenger not worse than what serves, and than what was first cleared?

The protocol is a versioned YAML whose hash stands in the evidence. A gate answers `successful`, `failed` or
`inconclusive`; the last one never passes by itself. The statistics are DeLong's with patients as clusters (Obuchowski,
Biometrics 1997), paired, so that a patient with many candidates counts as one patient.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from overread.core.errors import Misconfigured
from overread.rollout.locked import LockedSet
from overread_learn.evaluate import auc, clustered_auc, paired_difference


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Minimum(_Part):
    """Below these nothing is computed."""

    patients: int = Field(ge=2)
    positives: int = Field(ge=1)
    negatives: int = Field(ge=1)
    read_share: float = Field(gt=0, le=1)


class FirstClearance(_Part):
    """The absolute rule for the first model that may be seen."""

    auc_above: float = Field(ge=0.5, lt=1)


class SignOff(_Part):
    """How many different people sign."""

    required: int = Field(ge=1)


class Protocol(_Part):
    """The machine-readable part of a predetermined change control plan."""

    version: int
    alpha: float = Field(gt=0, lt=0.5)
    margin: float = Field(gt=0, lt=0.5)
    minimum: Minimum
    first_clearance: FirstClearance
    signoff: SignOff


def load(path: Path | None) -> tuple[Protocol, str]:
    """Return the protocol and the SHA-256 of its bytes.

    Raises:
        Misconfigured: absent, no YAML, or a value that can't be.
    """
    try:
        content = (path or resources.files("overread.rollout") / "protocol.yaml").read_bytes()
        return Protocol(**yaml.safe_load(content)), hashlib.sha256(content).hexdigest()
    except (OSError, yaml.YAMLError, TypeError, ValidationError) as error:
        raise Misconfigured(f"rollout.protocol: {path}: {error}") from error


class Answer(StrEnum):
    """What a gate says."""

    SUCCESSFUL = "successful"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"


class Verdict(NamedTuple):
    """A gate's answer and what it rests on; `evidence` is JSON."""

    answer: Answer
    gate: str
    reason: str
    evidence: dict[str, object]


def enough(protocol: Protocol, locked: LockedSet) -> str | None:
    """Return what is missing for any statistic, None where nothing is. Looks at counts only, never at a score."""
    least = protocol.minimum
    positives = sum(case.label for case in locked.cases)
    share = locked.answered / locked.candidates if locked.candidates else 0.0
    lacking = [
        f"{found:g} {name} of {needed:g}"
        for name, found, needed in (
            ("patients", _patients(locked), least.patients),
            ("positives", positives, least.positives),
            ("negatives", len(locked.cases) - positives, least.negatives),
            ("share read", round(share, 3), least.read_share),
        )
        if found < needed
    ]
    return f"inconclusive: {', '.join(lacking)}" if lacking else None


def _patients(locked: LockedSet) -> int:
    """Count the patients of the rarer class: a variance over clusters needs several in each."""
    return min(len({case.patient for case in locked.cases if case.label == label}) for label in (0, 1))


def judge(
    protocol: Protocol,
    locked: LockedSet,
    challenger: Sequence[float],
    references: Mapping[str, Sequence[float]],
) -> Verdict:
    """Compare one version with its references on the same cases.

    Args:
        protocol: margins and levels.
        locked: `enough` has found nothing missing.
        challenger: a probability for each of `locked.cases`.
        references: by name (`champion`, `cleared`); empty for the first clearance.
    """
    labels = [case.label for case in locked.cases]
    patients = [case.patient for case in locked.cases]
    own = clustered_auc(labels, challenger, patients, alpha=2 * protocol.alpha)
    detector = [case.detector_score for case in locked.cases]
    scores = [score for score in detector if score is not None]
    detector_auc = auc(labels, scores) if len(scores) == len(labels) else None
    evidence: dict[str, object] = {
        "auc_locked": own.value,
        "auc_lower": own.lower,
        "auc_champion": None,
        "auc_cleared": None,
        "interval": None,
        "detector_auc": detector_auc,
        "positives": own.n_pos,
        "negatives": own.n_neg,
        "patients": own.patients,
        "missed": locked.missed,
    }
    if not references:
        floor = protocol.first_clearance.auc_above
        if own.lower <= floor:
            reason = f"lower bound {own.lower:.3f} of the locked AUC is not above {floor}"
            return Verdict(Answer.FAILED, "first-clearance", reason, evidence)
        if detector_auc is not None and own.value <= detector_auc:
            reason = f"locked AUC {own.value:.3f} is not above the first-pass detector's {detector_auc:.3f}"
            return Verdict(Answer.FAILED, "first-clearance", reason, evidence)
        reason = f"locked AUC {own.value:.3f}, lower bound {own.lower:.3f}"
        return Verdict(Answer.SUCCESSFUL, "first-clearance", reason, evidence)
    failed = []
    for name, reference in references.items():
        found = paired_difference(labels, challenger, reference, patients, alpha=protocol.alpha)
        evidence[f"auc_{name}"] = found.auc_ref
        evidence[f"lower_{name}"] = found.lower_one_sided
        if name == "champion":
            evidence["interval"] = list(found.interval)
        if found.lower_one_sided <= -protocol.margin:
            failed.append(f"against {name} {found.difference:+.3f}, lower bound {found.lower_one_sided:+.3f}")
    if failed:
        return Verdict(
            Answer.FAILED, "non-inferiority", f"{'; '.join(failed)}; the margin is -{protocol.margin}", evidence
        )
    return Verdict(Answer.SUCCESSFUL, "non-inferiority", f"not worse than {' and '.join(references)}", evidence)
