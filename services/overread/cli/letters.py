"""How dead letters are shown: to people and machines, whatever somebody wrote into them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from overread.bus.dead_letters import ADDED

if TYPE_CHECKING:
    from overread.bus.settling import Letter, Settled


def line(letter: Letter) -> dict[str, Any]:
    """Return where it stands and why."""
    place = letter.message.partition
    attempts = letter.message.record.headers.get("dlq_attempts", b"")
    return {
        "letter": letter.id,
        "room": letter.origin.room,
        "topic": letter.origin.topic,
        "dead_letters": place.topic,
        "partition": place.number,
        "offset": letter.message.offset,
        "time": letter.message.time.isoformat(),
        "parked": letter.parked,
        "attempts": int(attempts) if attempts.isdigit() and len(attempts) < 10 else None,
        "error": _legible(letter.error.encode(), shown=True),
    }


def entered(row: Settled) -> dict[str, Any]:
    """Return a row of the audit."""
    return {**row._asdict(), "time": row.time.isoformat()}


def grouped(found: Iterable[Letter]) -> list[dict[str, Any]]:
    """Return a row for each room, topic and reason, the fullest first."""
    groups: dict[tuple[str, str, str], dict[str, Any]] = {}
    for letter in found:
        key = (letter.origin.room, letter.origin.topic, _legible(letter.reason.encode(), shown=True))
        offset, time = letter.message.offset, letter.message.time.isoformat()
        row = groups.setdefault(
            key,
            {**dict(zip(("room", "topic", "reason"), key, strict=True)), "letters": 0, "parked": 0}
            | {"first": offset, "last": offset, "oldest": time, "newest": time},
        )
        row["letters"] += 1
        row["parked"] += letter.parked
        row.update(first=min(row["first"], offset), last=max(row["last"], offset))
        row.update(oldest=min(row["oldest"], time), newest=max(row["newest"], time))
    for row in groups.values():
        row["offsets"] = f"{row['first']}-{row['last']}"
    return sorted(groups.values(), key=lambda row: (row["room"], row["topic"], -row["letters"]))


def content(letter: Letter, *, whole: bool) -> dict[str, Any]:
    """Return key, headers and value, or the sizes of what may identify a patient."""
    record, shown = letter.message.record, whole or letter.ours
    return {
        "fault": letter.fault,
        "key": _legible(record.key.encode(errors="replace"), shown=shown),
        "headers": {
            _legible(name.encode(errors="replace"), shown=True): _legible(said, shown=shown or name in ADDED)
            for name, said in record.headers.items()
        },
        "value": None if record.value is None else _legible(record.value, shown=shown),
    }


def _legible(said: bytes, *, shown: bool) -> str:
    """Return text that does a terminal no harm: what is no text, or steers it, is written as an escape."""
    if not shown:
        return f"{len(said)} bytes (another system's; --value prints them)"
    text = said.decode(errors="backslashreplace")
    return "".join(
        sign if sign.isprintable() or sign == "\n" else sign.encode("unicode_escape").decode() for sign in text
    )
