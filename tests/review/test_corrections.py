"""POST /corrections: every status of the contract, and what stands afterwards."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest
from sqlalchemy import delete

from overread.core.corrections import Verdict
from overread.core.errors import InvalidEvent, StoreUnavailable
from overread.core.events import CorrectionRefused, CorrectionSubmitted, FindingCorrected, Place, StudyPurged
from overread.review import tables
from overread.store.engine import Store
from overread.store.tables import inbox


@pytest.fixture(autouse=True)
def _candidate(room: Any) -> None:
    room.receive("c-1")


def problem(answer: Any, status: int, kind: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["type"].endswith(kind)
    assert body["title"]
    assert body["detail"]
    return body


def test_an_accepted_correction_is_command_and_fact(room: Any) -> None:
    key = str(uuid.uuid4())
    answer = room.post("c-1", "confirmed", key=key, reader="dr. a", reason="spiculated")
    assert answer.status_code == 201
    assert answer.headers["etag"] == '"1"'
    assert answer.json() == {
        "correction": key,
        "candidate": "c-1",
        "version": 1,
        "verdict": "confirmed",
        "label": 1,
        "agreement": 1.0,
        "readers": 1,
    }
    command, fact = room.said()
    assert isinstance(command.event, CorrectionSubmitted)
    assert command.id == key
    assert isinstance(fact.event, FindingCorrected)
    assert (fact.event.correction, fact.event.patient, fact.event.reader) == (key, "p-1", "dr. a")
    assert fact.event.reason == "spiculated"
    assert fact.time == command.time


def test_the_bus_copy_of_a_command_is_skipped(room: Any) -> None:
    key = str(uuid.uuid4())
    room.post("c-1", "confirmed", key=key)
    command = room.said()[0]
    assert room.hear(command.event, key=command.id) == ()
    assert len(room.rows(tables.verdicts)) == 1


def test_the_same_click_again_gets_the_same_answer(room: Any) -> None:
    key = str(uuid.uuid4())
    first, again = room.post("c-1", "confirmed", key=key), room.post("c-1", "confirmed", key=key)
    assert again.status_code == 201
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert again.headers["etag"] == '"1"'
    assert len(room.rows(tables.verdicts)) == 1
    assert len(room.said()) == 2


@pytest.mark.parametrize("other", [{"verdict": "rejected"}, {"version": 1}, {"reader": "b"}, {"reason": "x"}])
def test_a_key_serves_one_request_only(room: Any, other: dict[str, Any]) -> None:
    key = str(uuid.uuid4())
    room.post("c-1", key=key, verdict="confirmed", reader="a")
    problem(room.post("c-1", key=key, **({"verdict": "confirmed", "reader": "a"} | other)), 422, "key-reused")


@pytest.mark.parametrize(
    ("key", "said", "what"),
    [
        ("1", {}, "ce_id"),
        ("a key", {}, "ce_id"),
        ("k" * 129, {}, "ce_id"),
        ("k-" * 8, {"reader": ""}, "reader"),
        ("k-" * 8, {"reader": "r" * 65}, "reader"),
        ("k-" * 8, {"reader": "a\nb"}, "reader"),
        ("k-" * 8, {"reason": "x" * 501}, "reason"),
    ],
)
def test_a_command_that_the_ledger_would_not_take_is_no_event(
    room: Any, key: str, said: dict[str, str], what: str
) -> None:
    words = {"candidate": "c-1", "study": "s-1", "verdict": Verdict.CONFIRMED, "reader": "sr", "expected_version": 0}
    with pytest.raises(InvalidEvent, match=what):
        room.hear(CorrectionSubmitted(**(words | said)), key=key)
    assert room.rows(tables.verdicts) == []


def test_an_id_that_names_another_correction_in_the_ledger_is_no_event_and_writes_no_fact(room: Any) -> None:
    words = {"study": "s-1", "verdict": Verdict.CONFIRMED, "reader": "sr", "expected_version": 0}
    key = str(uuid.uuid4())
    room.hear(CorrectionSubmitted(candidate="c-1", **words), key=key)
    with room.store.writing() as tx:  # a ledger whose inbox is another database's
        tx.execute(delete(inbox))
    with pytest.raises(InvalidEvent, match="another correction"):
        room.hear(CorrectionSubmitted(candidate="c-1", **(words | {"expected_version": 1})), key=key)
    assert len(room.rows(tables.verdicts)) == 1


def test_a_key_that_the_bus_has_used_is_refused(room: Any) -> None:
    key = str(uuid.uuid4())
    command = CorrectionSubmitted(
        candidate="c-1", study="s-1", verdict=Verdict.CONFIRMED, reader="sr", expected_version=0
    )
    room.hear(command, key=key)
    problem(room.post("c-1", "rejected", 1, key=key), 422, "key-used")


def test_a_refusal_is_remembered_and_announced(room: Any) -> None:
    key = str(uuid.uuid4())
    first = room.post("c-2", "confirmed", key=key)
    problem(first, 404, "unknown-candidate")
    room.receive("c-2")
    again = room.post("c-2", "confirmed", key=key)
    assert again.status_code == 404
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    refused = room.said()[1].event
    assert isinstance(refused, CorrectionRefused)
    assert refused.correction == key


def test_stale_versions_are_refused(room: Any) -> None:
    room.post("c-1", "confirmed")
    assert problem(room.post("c-1", "rejected", 0), 412, "stale-version")["current_version"] == 1
    assert room.post("c-1", "rejected", 1).status_code == 201


@pytest.mark.parametrize(
    ("request_", "status", "kind"),
    [
        ({"candidate": "c-9", "verdict": "confirmed"}, 404, "unknown-candidate"),
        ({"candidate": "c-1", "verdict": "confirmed", "study": "s-9"}, 409, "wrong-study"),
        ({"candidate": "c-1", "verdict": "withdrawn"}, 409, "nothing-to-withdraw"),
        ({"candidate": "c-1", "verdict": "amended"}, 422, "place-missing"),
        ({"candidate": "a-1", "verdict": "added"}, 422, "place-missing"),
        ({"candidate": "c-1", "verdict": "amended", "place": {"x": 79.6}}, 422, "outside-image"),
        ({"candidate": "c-1", "verdict": "amended", "place": {"y": -0.6}}, 422, "outside-image"),
        ({"candidate": "c-1", "verdict": "amended", "place": {"slice": 5}}, 422, "outside-image"),
        ({"candidate": "c-1", "verdict": "amended", "place": {"series": "f" * 64}}, 409, "wrong-study"),
        ({"candidate": "c-1", "verdict": "added", "place": {}}, 409, "already-exists"),
        ({"candidate": "a-1", "verdict": "added", "place": {}, "study": "s-9"}, 404, "unknown-candidate"),
        ({"candidate": "a-1", "verdict": "added", "place": {}, "version": 3}, 412, "stale-version"),
        ({"candidate": "c-1", "verdict": "perhaps"}, 422, "malformed"),
        ({"candidate": "c-1", "verdict": "amended", "place": {"x": "NaN"}}, 422, "malformed"),
        ({"candidate": "c-1", "verdict": "amended", "place": {"series": "../../etc/passwd"}}, 422, "malformed"),
        ({"candidate": "c-1", "verdict": "confirmed", "reason": "x" * 501}, 422, "malformed"),
        ({"candidate": "c-1", "verdict": "confirmed", "colour": "red"}, 422, "malformed"),
        ({"candidate": "c" * 129, "verdict": "confirmed"}, 422, "malformed"),
        ({"candidate": "c-1", "verdict": "confirmed", "reader": "r" * 65}, 422, "reader-malformed"),
        ({"candidate": "c-1", "verdict": "confirmed", "key": "short"}, 400, "key-malformed"),
        ({"candidate": "c-1", "verdict": "confirmed", "key": "k" * 129}, 400, "key-malformed"),
        ({"candidate": "c-1", "verdict": "confirmed", "key": 'mid"dle-of-it"s'}, 400, "key-malformed"),
    ],
)
def test_each_refusal_has_its_status(room: Any, request_: dict[str, Any], status: int, kind: str) -> None:
    if "place" in request_:
        request_ = request_ | {"place": room.place(**request_["place"])}
    problem(room.post(**request_), status, kind)
    assert room.rows(tables.verdicts) == []


def test_headers_are_asked_for(room: Any) -> None:
    body = {"candidate": "c-1", "study": "s-1", "verdict": "confirmed"}
    post = room.client.post
    problem(post("/api/v1/corrections", json=body, headers={"If-Match": '"0"'}), 400, "key-missing")
    key = str(uuid.uuid4())
    problem(post("/api/v1/corrections", json=body, headers={"Idempotency-Key": key}), 428, "version-missing")
    odd = {"Idempotency-Key": key, "If-Match": "*"}
    problem(post("/api/v1/corrections", json=body, headers=odd), 422, "version-malformed")
    # None of these was remembered: the mended request is a first one.
    good = post("/api/v1/corrections", json=body, headers={"Idempotency-Key": f'"{key}"', "If-Match": '"0"'})
    assert good.status_code == 201
    assert good.json()["correction"] == key
    problem(post("/api/v1/corrections", content=b"{", headers={"Idempotency-Key": key}), 422, "malformed")


def test_the_default_reader_is_the_setting_s(room: Any) -> None:
    room.post("c-1", "confirmed")
    assert room.get("candidates/c-1")["verdicts"][0]["reader"] == "reader"


def test_a_database_that_is_away_is_503_and_nothing_is_remembered(room: Any, monkeypatch: Any) -> None:
    key = str(uuid.uuid4())

    def locked(*_: Any) -> None:
        raise StoreUnavailable("database is locked")

    with monkeypatch.context() as patched:
        patched.setattr("overread.review.submit.judge", locked)
        answer = room.post("c-1", "confirmed", key=key)
    problem(answer, 503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert room.said() == []
    assert room.post("c-1", "confirmed", key=key).status_code == 201


def _together(count: int, call: Any) -> list[Any]:
    answers: list[Any] = []
    gate = threading.Barrier(count)

    def go(number: int) -> None:
        gate.wait()
        answers.append(call(number))

    threads = [threading.Thread(target=go, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_of_two_readers_with_one_version_exactly_one_wins(room: Any) -> None:
    answers = _together(4, lambda number: room.post("c-1", "confirmed", reader=f"r{number}"))
    assert sorted(answer.status_code for answer in answers) == [201, 412, 412, 412]
    assert len(room.rows(tables.verdicts)) == 1


def test_one_click_sent_several_times_at_once_has_one_effect(room: Any) -> None:
    key = str(uuid.uuid4())
    answers = _together(4, lambda _: room.post("c-1", "rejected", key=key))
    assert [answer.status_code for answer in answers] == [201] * 4
    assert len({answer.text for answer in answers}) == 1
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 3
    assert len(room.rows(tables.verdicts)) == 1
    assert len(room.said()) == 2


def test_a_crash_between_verdict_and_answer_leaves_nothing(room: Any, monkeypatch: Any, store: Store) -> None:
    del store
    key = str(uuid.uuid4())
    with monkeypatch.context() as patched:
        patched.setattr("overread.review.submit._answer", lambda _: 1 / 0)
        assert room.post("c-1", "confirmed", key=key).status_code == 500
    assert room.rows(tables.verdicts) == []
    assert room.said() == []
    assert room.post("c-1", "confirmed", key=key).json()["version"] == 1


def test_a_purged_study_is_unknown(room: Any) -> None:
    room.ask("c-1")
    room.post("c-1", "confirmed")
    room.hear(StudyPurged(study="s-1"))
    for table in (tables.candidates, tables.reads, tables.verdicts, tables.requests):
        assert room.rows(table) == []
    problem(room.post("c-1", "rejected", 1), 404, "unknown-candidate")


def test_a_command_over_the_bus_is_judged_alike(room: Any) -> None:
    def command(**more: Any) -> CorrectionSubmitted:
        said = {"candidate": "c-1", "study": "s-1", "verdict": "amended", "reader": "sr", "expected_version": 0}
        return CorrectionSubmitted.model_validate(said | more)

    (missing,) = room.hear(command())
    (bad,) = room.hear(command(place=Place(series="../../x", slice=0, x=1, y=1)))
    (nan,) = room.hear(command(place=Place(series=room.series, slice=0, x=float("nan"), y=1)))
    (fact,) = room.hear(command(place=Place(series=room.series, slice=0, x=1, y=1)))
    assert [refused.reason.value for refused in (missing, bad, nan)] == [
        "place-missing",
        "wrong-study",
        "outside-image",
    ]
    assert fact.version == 1
    assert fact.place.x == 1
