"""`POST /corrections`: one transaction from the reader's click to the fact.

Command, inbox, verdict, fact and answer are committed together, so a click is either all there or never was; the same
click again (its Idempotency-Key) gets the same answer and changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select

from overread import tracing
from overread.config import Review
from overread.core.clock import Clock
from overread.core.codec import Envelope
from overread.core.corrections import NAME, READER
from overread.core.events import CorrectionRefused, CorrectionSubmitted, FindingCorrected, Place
from overread.handler import Outbox
from overread.review.problems import STATUS, Problem
from overread.review.schemas import Corrected, Correction
from overread.review.tables import requests
from overread.review.verdicts import Manifests, count, find_image, judge
from overread.store import deliveries
from overread.store.engine import Store, after_commit

ROOM = "review"

_ETAG = re.compile(r'"(\d{1,9})"')


@dataclass(frozen=True)
class Answer:
    """What is sent back, and kept under the request's key."""

    status: int
    body: dict[str, Any]
    replayed: bool = False


class Submit:
    """Takes corrections over REST."""

    def __init__(self, store: Store, outbox: Outbox, slices: Manifests, settings: Review, clock: Clock) -> None:
        self._store, self._outbox, self._slices = store, outbox, slices
        self._settings, self._clock = settings, clock

    def __call__(self, body: Correction, *, key: str | None, if_match: str | None, reader: str | None) -> Answer:
        """Judge one correction.

        Raises:
            Problem: 400, 422 or 428: the request itself is not in order. Nothing is kept, a mended one may come again.
            StoreUnavailable: nothing was written; the same request may come again.
        """
        name = _check_key(key)
        version = _check_version(if_match)
        who = _check_reader(reader, self._settings.reader)
        command = CorrectionSubmitted(
            candidate=body.candidate,
            study=body.study,
            verdict=body.verdict,
            reader=who,
            expected_version=version,
            place=Place.model_validate(body.place.model_dump()) if body.place else None,
            reason=body.reason,
        )
        canonical = json.dumps(command.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        sha256 = hashlib.sha256(canonical.encode()).hexdigest()
        image = find_image(self._slices, command)
        with self._store.writing() as tx:
            before = _recall(tx, name, sha256)
            if before is not None:
                return before
            envelope = Envelope(command, "review/rest", name, self._clock())
            if not deliveries.first_time(tx, ROOM, envelope.entry):
                raise Problem(422, "key-used", "a correction of this Idempotency-Key was judged before; mint a new one")
            outcome = judge(tx, envelope, image)
            # The fact carries the time of the click, as the ledger does.
            said = Envelope(outcome, ROOM, time=envelope.time)
            with tracing.span("review.submit", body.study):
                self._outbox(tx, [envelope.record(), said.record()])
            answer = _answer(outcome)
            kept = {"status": answer.status, "response": answer.body}
            tx.execute(insert(requests).values(key=name, study=body.study, sha256=sha256, **kept))
            after_commit(tx, lambda: count(outcome))
        return answer


def _recall(tx: Connection, key: str, sha256: str) -> Answer | None:
    row = tx.execute(select(requests).where(requests.c.key == key)).first()
    if row is None:
        return None
    if row.sha256 != sha256:
        raise Problem(422, "key-reused", "this Idempotency-Key came with another request; mint one for each click")
    return Answer(row.status, row.response, replayed=True)


def _answer(outcome: FindingCorrected | CorrectionRefused) -> Answer:
    if isinstance(outcome, FindingCorrected):
        # The answer's fields are the fact's.
        return Answer(201, Corrected.model_validate(outcome.model_dump()).model_dump(mode="json"))
    status = STATUS[outcome.reason]
    problem = Problem(status, outcome.reason.value, outcome.detail, current_version=outcome.current_version)
    return Answer(status, problem.body())


def _check_key(key: str | None) -> str:
    if key is None:
        raise Problem(400, "key-missing", "the header Idempotency-Key is missing: send a new UUID with each click")
    name = key.strip().removeprefix('"').removesuffix('"')  # the IETF's draft puts the key in quotes
    if NAME.fullmatch(name) is None:
        raise Problem(400, "key-malformed", "Idempotency-Key is 8 to 128 letters, digits, dots, colons, dashes")
    return name


def _check_version(if_match: str | None) -> int:
    if if_match is None:
        raise Problem(428, "version-missing", 'the header If-Match is missing: send the version seen, as in "3"')
    match = _ETAG.fullmatch(if_match.strip())
    if match is None:
        raise Problem(422, "version-malformed", 'If-Match is one version in quotes, as in "3"')
    return int(match.group(1))


def _check_reader(reader: str | None, default: str) -> str:
    if reader is None or not reader.strip():
        return default
    if READER.fullmatch(reader.strip()) is None:
        raise Problem(422, "reader-malformed", "Overread-Reader has at most 64 characters and no control characters")
    return reader.strip()
