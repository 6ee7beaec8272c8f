"""Evidence: every version concerned scores the same locked cases with the bytes that would serve."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import OrderedDict
from collections.abc import Sequence

from overread.core.errors import DigestMismatch, Misconfigured
from overread.pacs.views import Views
from overread.registry import Registry
from overread.rollout.locked import Case
from overread.rollout.states import Version
from overread_learn import scoring
from overread_learn.patches import cut

log = logging.getLogger(__name__)

KEPT = 4
"""Versions whose scores are kept in memory: champion, baseline, and what is judged."""


class Examiner:
    """Scores locked cases. A version's score of a case never changes, so it is computed once while it is needed."""

    def __init__(self, registry: Registry, views: Views, *, providers: Sequence[str] | None, threads: int) -> None:
        self._registry, self._views = registry, views
        self._providers, self._threads = providers, threads
        self._scores: OrderedDict[str, dict[str, float]] = OrderedDict()

    def probabilities(self, version: Version, cases: Sequence[Case]) -> list[float]:
        """Return a probability for each case.

        Raises:
            DigestMismatch: the registry's file is not the one that was registered.
            Misconfigured: it is no model of this application.
            ValueError: a case's image can't be prepared or cut; the message names the case.
        """
        known = self._scores.setdefault(version.sha256, {})
        self._scores.move_to_end(version.sha256)
        while len(self._scores) > KEPT:
            self._scores.popitem(last=False)
        fresh = [case for case in cases if case.candidate not in known]
        if fresh:
            scorer = self._load(version)
            for case in sorted(fresh, key=lambda case: (case.place.series, case.place.slice)):
                try:
                    view = self._views.at(case.place)
                    patches = cut(view.prepared, view.x, view.y, scorer.application, view.spacing_mm)
                except ValueError as error:
                    raise ValueError(f"candidate {case.candidate}: {error}") from error
                known[case.candidate] = scoring.probability(scorer.logits(patches))
            log.info("locked cases scored", extra={"version": version.version, "cases": len(fresh)})
        return [known[case.candidate] for case in cases]

    def _load(self, version: Version) -> scoring.Scorer:
        content = self._registry.fetch(version.version)
        if content is None:
            raise Misconfigured(f"model version {version.version} has no file in the registry")
        try:
            scorer = scoring.Scorer(
                content, expected_sha256=version.sha256, providers=self._providers, threads=self._threads
            )
        except scoring.DigestMismatch as error:
            raise DigestMismatch(f"model version {version.version}: {error}") from error
        except scoring.NotAModel as error:
            raise Misconfigured(f"model version {version.version}: {error}") from error
        if scorer.application != self._views.application:
            raise Misconfigured(
                f"model version {version.version} was made for {scorer.application.name} with another geometry; "
                f"this house runs {self._views.application.name}"
            )
        return scorer


def seal(content: dict[str, object]) -> str:
    """Return the SHA-256 of evidence in canonical JSON: what a signature covers."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
