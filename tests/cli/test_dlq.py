"""`overread dlq`: what a room could not handle is listed, shown, sent again or dropped, by people and by machines."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from cli.said import Run
from overread.bus import settling
from overread.bus.dead_letters import dead_letter, topic_of
from overread.bus.port import LARGEST, Message, Partition, Record
from overread.bus.settling import Letter, Origin
from overread.config import load
from overread.core.clock import utc_now
from overread.core.codec import Envelope
from overread.core.corrections import Verdict
from overread.core.errors import InvalidEvent, NotYetKnown
from overread.core.events import COMMANDS, FACTS, CorrectionSubmitted
from overread.house import House
from overread.store.tables import outbox

BY = ("--name", "on call", "--reason", "mended", "--json")
ORIGINS = {topic_of(*origin): origin for origin in (Origin(COMMANDS, "review"), Origin(FACTS, "rollout"))}
FOREIGN = b"Doe^Jane \x1b[2J\xff"


@pytest.fixture
def opened(overread: Run, tmp_path: Path) -> Iterator[House]:
    """The house in whose folder `overread` runs."""
    assert overread("status", "--json").code == 0
    house = House(load(None, data=tmp_path / "overread-data"))
    yield house
    house.close()


def command(number: int) -> Record:
    event = CorrectionSubmitted(
        candidate=f"c-{number:032x}", study="s-1", verdict=Verdict.CONFIRMED, reader="one", expected_version=0
    )
    return Envelope(event, "review").record()


def set_aside(house: House, record: Record, offset: int, error: Exception, room: str = "review") -> None:
    message = Message(Partition(record.topic, 0), offset, utc_now(), record)
    house.bus.publish([dead_letter(message, room, error, 1)])


@pytest.fixture
def letters(opened: House) -> House:
    """Three of ours that failed for one reason, one that is parked, one that a foreign system wrote."""
    for number in range(3):
        set_aside(opened, command(number), number, InvalidEvent(f"candidate c-{number:032x} has {number} slices"))
    newer = command(7)
    set_aside(opened, Record(newer.topic, newer.key, newer.value, {**newer.headers, "ce_type": b"overread.new.v2"}), 7,
              NotYetKnown("unknown event type 'overread.new.v2'"))  # fmt: skip
    set_aside(opened, Record(FACTS, "Doe^Jane", FOREIGN, {"x-name": b"Doe^Jane"}), 9, ValueError("Doe"), "rollout")
    return opened


@pytest.mark.usefixtures("opened")
def test_an_empty_house_has_none(overread: Run) -> None:
    assert overread("dlq", "list", "--json").facts == []
    assert overread("dlq", "list", "--settled", "--json").facts == []
    done = overread("dlq", "replay", "--all", "--yes", *BY)
    assert (done.code, done.facts) == (0, {"chosen": 0, "replayed": 0, "unreadable": 0})
    assert overread("dlq", "drop", "--all", *BY).facts == {"chosen": 0, "dropped": 0}, "nothing to ask about"


@pytest.mark.usefixtures("letters")
def test_letters_are_listed_by_room_topic_and_reason(overread: Run) -> None:
    rows = overread("dlq", "list", "--json").facts
    said = [(row["room"], row["topic"], row["reason"], row["letters"], row["parked"]) for row in rows]
    assert said == [
        ("review", COMMANDS, "InvalidEvent: candidate … has … slices", 3, 0),
        ("review", COMMANDS, "NotYetKnown: unknown event type 'overread.new.v2'", 1, 1),
        ("rollout", FACTS, "ValueError", 1, 0),
    ]
    assert all(row["oldest"] <= row["newest"] for row in rows)
    assert [row["letters"] for row in overread("dlq", "list", "--room", "rollout", "--json").facts] == [1]
    assert [row["letters"] for row in overread("dlq", "list", "--parked", "--json").facts] == [1]
    assert [row["letters"] for row in overread("dlq", "list", "--dead", "--error", "SLICES", "--json").facts] == [3]
    each = overread("dlq", "list", "--each", "--topic", COMMANDS, "--json").facts
    assert [row["parked"] for row in each] == [False, False, False, True]
    middle = f"{each[1]['offset']}-{each[2]['offset']}"
    chosen = overread("dlq", "list", "--each", "--offsets", middle, "--json").facts
    assert [row["letter"] for row in chosen] == [row["letter"] for row in each[1:3]]
    assert "slices" in overread("dlq", "list").out


@pytest.mark.usefixtures("letters")
def test_of_ours_all_is_shown_and_of_a_foreign_one_sizes_until_somebody_asks(overread: Run) -> None:
    ours, foreign = (overread("dlq", "list", "--each", "--room", room, "--json").facts[0]["letter"]
                     for room in ("review", "rollout"))  # fmt: skip
    shown = overread("dlq", "show", ours[:8], "--json").facts
    assert '"verdict":"confirmed"' in shown["value"]
    assert shown["fault"] is None
    assert shown["settled"] is None
    assert shown["headers"]["ce_source"] == "/overread/review"
    for arguments in ((), ("--json",)):
        hidden = overread("dlq", "show", foreign, *arguments)
        assert "Doe" not in hidden.out
        assert f"{len(FOREIGN)} bytes" in hidden.out
    asked = overread("dlq", "show", foreign, "--value", "--json").facts
    assert asked["value"] == r"Doe^Jane \x1b[2J\xff", "nothing that steers a terminal"
    assert asked["headers"]["x-name"] == "Doe^Jane"
    assert "\x1b[2J" not in overread("dlq", "show", foreign, "--value").out


def test_replay_sends_what_was_chosen_and_writes_it_down(overread: Run, letters: House) -> None:
    done = overread("dlq", "replay", "--error", "slices", "--yes", *BY)
    assert (done.code, done.facts) == (0, {"chosen": 3, "replayed": 3, "unreadable": 0})
    consumer = letters.bus.consumer("ears", [COMMANDS], "one")
    said = consumer.poll(10, 0.0)
    assert sorted(message.record.value or b"" for message in said) == sorted(command(n).value or b"" for n in range(3))
    audit = overread("dlq", "list", "--settled", "--json").facts
    assert {(row["outcome"], row["name"], row["reason"]) for row in audit} == {("replayed", "on call", "mended")}
    assert overread("dlq", "replay", "--error", "slices", "--yes", *BY).facts["chosen"] == 0
    assert overread("dlq", "show", audit[0]["letter"], "--json").facts["settled"]["name"] == "on call"


@pytest.mark.usefixtures("letters")
def test_what_this_version_cannot_read_stays_open_and_is_exit_code_one(overread: Run) -> None:
    done = overread("dlq", "replay", "--all", "--yes", *BY)
    assert (done.code, done.facts) == (1, {"chosen": 5, "replayed": 3, "unreadable": 2})
    assert len(overread("dlq", "list", "--each", "--json").facts) == 2


@pytest.mark.usefixtures("letters")
def test_drop_asks_first_and_hides(overread: Run) -> None:
    refused = overread("dlq", "drop", "--room", "rollout", *BY)
    assert refused.code == 1
    assert not refused.out.strip(), "a question is no fact"
    assert "1 letters" in refused.err
    assert len(overread("dlq", "list", "--json").facts) == 3
    (letter,) = overread("dlq", "list", "--each", "--room", "rollout", "--json").facts
    assert overread("dlq", "drop", letter["letter"][:10], "--yes", *BY).facts == {"chosen": 1, "dropped": 1}
    assert len(overread("dlq", "list", "--json").facts) == 2


@pytest.mark.usefixtures("opened")
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("replay", "--yes", *BY), "choose letters"),
        (("drop", "--yes", *BY), "choose letters"),
        (("list", "--room", "cellar"), "cellar"),
        (("list", "--topic", "news"), "news"),
        (("list", "--offsets", "a-b"), "--offsets"),
        (("show", "abcdef"), "no letter 'abcdef'"),
        (("drop", "xyz", "--yes", *BY), "hexadecimal"),
        (("drop", "--all", "--yes"), "--name"),
        (("list", "--offsets", "9-3"), "write 3-9"),
        (("list", "--error", " "), "--error is blank"),
        (("list", "--settled", "--offsets", "3"), "--settled"),
        (("list", "--settled", "--parked"), "--settled"),
        (("list", "--settled", "--error", "slices"), "--settled"),
        (("drop", "abcdef", "--yes", *BY), "no letter 'abcdef'"),
        (("replay", "abcdef", "--yes", *BY), "no letter 'abcdef'"),
        (("drop", "--all", "--yes", "--name", "", "--reason", "mended"), "--name is blank"),
        (("drop", "--all", "--yes", "--name", "on call", "--reason", " \t"), "--reason is blank"),
        (("replay", "--all", "--yes", "--name", "\u00a0", "--reason", "mended"), "--name is blank"),
        (("replay", "--all", "--yes", "--name", "on call", "--reason", ""), "--reason is blank"),
    ],
)
def test_a_mistake_is_exit_code_two(overread: Run, arguments: tuple[str, ...], named: str) -> None:
    said = overread("dlq", *arguments)
    assert said.code == 2
    assert named in said.err


def test_first_digits_of_several_letters_settle_none_of_them(
    overread: Run, letters: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"abcd{number}" + "0" * 59 for number in range(5)]
    digests = {each: names.pop(0) for each in sorted(letter.id for letter in settling.letters(letters.bus, ORIGINS))}
    whole = Letter.id.func
    monkeypatch.setattr(Letter, "id", property(lambda letter: digests[whole(letter)]))
    for command in (("show", "abcd"), ("drop", "abcd", "--yes", *BY), ("replay", "abcd0", "abcd", "--yes", *BY)):
        said = overread("dlq", *command)
        assert (said.code, said.out) == (2, "")
        assert "5 letters begin with 'abcd'" in said.err
    assert overread("dlq", "list", "--settled", "--json").facts == []
    assert overread("dlq", "drop", "abcd1", "abcd3", "--yes", *BY).facts == {"chosen": 2, "dropped": 2}
    assert overread("dlq", "drop", "abcd1", "--yes", *BY).facts == {"chosen": 0, "dropped": 0}, "it is settled"
    assert {row["letter"][:5] for row in overread("dlq", "list", "--settled", "--json").facts} == {"abcd1", "abcd3"}


@pytest.mark.usefixtures("letters")
def test_the_audit_is_chosen_by_topic_and_room_and_its_times_are_iso(overread: Run) -> None:
    assert overread("dlq", "drop", "--all", "--yes", *BY).facts["dropped"] == 5
    assert len(overread("dlq", "list", "--settled", "--json").facts) == 5
    (row,) = overread("dlq", "list", "--settled", "--room", "rollout", "--json").facts
    assert row["topic"] == topic_of(FACTS, "rollout")
    assert len(overread("dlq", "list", "--settled", "--topic", COMMANDS, "--json").facts) == 4
    assert overread("dlq", "list", "--settled", "--topic", FACTS, "--room", "review", "--json").facts == []
    shown = overread("dlq", "show", row["letter"], "--json").facts
    for said in (row["time"], shown["settled"]["time"], shown["time"]):
        assert "T" in said
        assert datetime.fromisoformat(said).tzinfo is not None


def test_a_message_too_large_for_a_letter_is_shown_by_its_place(overread: Run, opened: House) -> None:
    large = command(1)
    set_aside(opened, Record(large.topic, large.key, b"{" * LARGEST, large.headers), 3, InvalidEvent("no JSON"))
    (listed,) = overread("dlq", "list", "--each", "--json").facts
    shown = overread("dlq", "show", listed["letter"], "--json")
    assert shown.code == 0
    assert "it stands in" in shown.out
    assert overread("dlq", "replay", "--all", "--yes", *BY).code == 1


def test_what_the_broker_would_not_take_is_tried_again(overread: Run, opened: House) -> None:
    assert overread("dlq", "release", "--json").facts == {"released": 0}
    with opened.store.writing() as tx:
        opened.outbox(tx, [command(1), command(2)])
        tx.execute(update(outbox).values(refused="too large"))
    assert overread("dlq", "release", "--json").code == 1  # nobody said yes
    assert overread("dlq", "release", "--yes", "--json").facts == {"released": 2}
    with opened.store.reading() as tx:
        assert tx.execute(select(func.count()).where(outbox.c.refused.is_not(None))).scalar_one() == 0
        assert tx.execute(select(func.count()).select_from(outbox)).scalar_one() == 2
