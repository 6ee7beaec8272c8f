"""The serving model: loaded, checked, warmed, then swapped by replacing one reference."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import Connection, Row, insert, select

from overread import metrics
from overread.config import Inference
from overread.core.codec import Envelope
from overread.core.errors import DigestMismatch, Misconfigured, RegistryUnavailable
from overread.core.events import Event, ModelPromoted
from overread.handler import Effect
from overread.inference.tables import inference_models
from overread.registry import Registry
from overread.store.engine import Store
from overread_learn import scoring
from overread_learn.applications import Application

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Serving:
    """A model that can score now."""

    scorer: scoring.Scorer
    version: int
    cleared: bool


class Champion:
    """Holds the one reference. Requests in flight keep the `Serving` that they took."""

    def __init__(self, settings: Inference, application: Application) -> None:
        self._settings, self._application = settings, application
        self.serving: Serving | None = None
        self.refused: str | None = None
        """Why the model that was promoted last is not the one that serves."""

    def load(self, content: bytes | Path, *, version: int, cleared: bool, sha256: str | None = None) -> Serving:
        """Load, check the digest, warm up and swap.

        Raises:
            DigestMismatch: the bytes are not the registered ones.
            Misconfigured: they are no model of ours, or the provider asked for does not run (strict mode).
        """
        settings = self._settings
        try:
            scorer = scoring.Scorer(
                content, expected_sha256=sha256, providers=settings.providers, threads=settings.threads
            )
        except scoring.DigestMismatch as error:
            raise DigestMismatch(f"model version {version}: {error}") from error
        except (scoring.NotAModel, ValueError, FileNotFoundError) as error:
            raise Misconfigured(f"model version {version}: {error}") from error
        if scorer.application != self._application:
            raise Misconfigured(
                f"model version {version} cuts its patches for {scorer.application.name} in another way than this "
                f"house's {self._application.name}; set `application` to what the model was made for"
            )
        if settings.providers and scorer.provider != settings.providers[0]:
            message = f"{settings.providers[0]} was asked for, {scorer.provider} runs"
            if settings.strict_provider:
                raise Misconfigured(f"model version {version}: {message} (inference.strict_provider)")
            log.warning(message)
        size = scorer.application.input_px
        scorer.logits(np.zeros((scorer.application.patches, 3, size, size), np.float32))
        serving = Serving(scorer, version, cleared)
        self.serving, self.refused = serving, None
        metrics.serving.clear()
        metrics.serving.labels(
            str(version), scorer.sha256, scorer.provider, scorer.precision, str(cleared).lower()
        ).set(1)
        log.info("model serves", extra={"version": version, "sha256": scorer.sha256, "provider": scorer.provider})
        return serving


class Nudge(Effect):
    """A promotion is noted; `Swap` acts on it."""

    consumes = ModelPromoted

    def apply(self, tx: Connection, envelope: Envelope[ModelPromoted], _prepared: None) -> Sequence[Event]:
        """Append the promotion."""
        event = envelope.event
        tx.execute(insert(inference_models).values(version=event.version, sha256=event.sha256, cleared=event.cleared))
        return ()


class Swap:
    """Makes the serving model the one that was promoted last.

    The bus delivers promotions durably; behind it the registry's alias is looked at every `poll_seconds`, and where it
    disagrees that is said, since then somebody moved it by hand: only what rollout promoted is ever loaded.
    """

    every = 0.25

    def __init__(self, store: Store, registry: Registry, champion: Champion, settings: Inference) -> None:
        self._store, self._registry, self._champion, self._settings = store, registry, champion, settings
        self._look_at_registry, self._refused = 0.0, ("", 0.0)

    def prepare(self) -> None:
        """Swap if there is cause to; there is never anything to write."""
        promoted = self._promoted()
        serving = self._champion.serving
        if promoted is None or (
            serving is not None and (serving.version, serving.scorer.sha256) == (promoted.version, promoted.sha256)
        ):
            self._compare_with_registry(promoted)
            return
        refused, until = self._refused
        if refused == promoted.sha256 and time.monotonic() < until:
            return
        try:
            content = self._registry.fetch(promoted.version) or b""  # no file fails the digest like a wrong one
            self._champion.load(content, version=promoted.version, cleared=promoted.cleared, sha256=promoted.sha256)
        except (DigestMismatch, Misconfigured, RegistryUnavailable) as error:
            # The model before it goes on serving; the file may be mended and the registry come back, so look again.
            # Nor does the worker wait in place for the registry: candidates would wait with it.
            metrics.swaps_refused.labels(type(error).__name__).inc()
            log.error("model not loaded", extra={"version": promoted.version, "reason": str(error)})  # noqa: TRY400
            self._champion.refused = str(error)
            self._refused = (promoted.sha256, time.monotonic() + self._settings.poll_seconds)

    def apply(self, tx: Connection, prepared: None) -> Sequence[Event]:
        """Nothing is written."""
        del tx, prepared
        return ()

    def _promoted(self) -> Row[tuple[int, int, str, bool]] | None:
        with self._store.reading() as tx:
            return tx.execute(select(inference_models).order_by(inference_models.c.order.desc()).limit(1)).first()

    def _compare_with_registry(self, promoted: Row[tuple[int, int, str, bool]] | None) -> None:
        if promoted is None or time.monotonic() < self._look_at_registry:
            return
        self._look_at_registry = time.monotonic() + self._settings.poll_seconds
        try:
            alias = self._registry.champion()
        except RegistryUnavailable as error:
            log.warning("registry does not answer; the loaded model goes on", extra={"reason": str(error)})
            return
        if alias is not None and alias != promoted.version:
            log.warning("registry alias differs", extra={"alias": alias, "promoted": promoted.version})
