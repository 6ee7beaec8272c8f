"""Which letters a command of `overread dlq` means, and where they are found."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from overread.core.errors import Misconfigured
from overread.topology import LINE
from overread_learn.printing import err

if TYPE_CHECKING:
    from overread.bus.settling import Choice, Letter, Origin
    from overread.config import Settings

Topic = Annotated[str | None, typer.Option(help="Only events of this topic.")]
Room = Annotated[str | None, typer.Option(help="Only what this room set aside.")]
Error = Annotated[str | None, typer.Option(help="Only where the error holds these words.")]
Offsets = Annotated[str | None, typer.Option(help="Only these offsets of the letters: 7, 3-9 or 3-.", metavar="RANGE")]
Parked = Annotated[
    bool | None, typer.Option("--parked/--dead", help="Only what waits for a newer version, or only the rest.")
]
Letters = Annotated[list[str] | None, typer.Argument(metavar="[LETTER]...", help="Names, or their first digits.")]
All = Annotated[bool, typer.Option("--all", help="Every open letter, where nothing else chooses.")]


def chosen_by(
    topic: str | None,
    room: str | None,
    error: str | None,
    offsets: str | None,
    parked: bool | None,
    which: list[str] | None = None,
) -> Choice:
    """Return what the options choose; names as they were given, which `named` makes whole.

    Raises:
        Misconfigured: an option can't choose anything.
    """
    from overread.bus.settling import Choice

    known = _origins().values()
    for word, given, there in (
        ("--topic", topic, {origin.topic for origin in known}),
        ("--room", room, {origin.room for origin in known}),
    ):
        if given is not None and given not in there:
            raise Misconfigured(
                f"{word} {given}: nobody sets letters aside there; choose from {', '.join(sorted(there))}"
            )
    if error is not None and not error.strip():  # every error holds it
        raise Misconfigured("--error is blank; write words of the error, or leave it out")
    if any(not re.fullmatch("[0-9a-f]{4,64}", one) for one in which or ()):
        raise Misconfigured("a letter's name is 4 hexadecimal digits or more, as `overread dlq list --each` shows them")
    return Choice(topic, room, _range(offsets), error, parked, tuple(which or ()))


def _range(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    if not (found := re.fullmatch(r"([0-9]+)(-([0-9]*))?", text)):
        raise Misconfigured(f"--offsets {text}: write 7, 3-9 or 3-")
    first = int(found[1])
    last = first if found[2] is None else int(found[3] or 2**63)
    if last < first:
        raise Misconfigured(f"--offsets {text}: the first is behind the last; write {last}-{first}")
    return first, last


def some(choice: Choice, *, everything: bool) -> Choice:
    """Refuse to take all for nothing: a slip of the finger would settle everything."""
    if choice == type(choice)() and not everything:
        raise Misconfigured("choose letters: by name, --topic, --room, --error, --offsets, --parked, or take --all")
    return choice


def heard(dead_letters: str, choice: Choice) -> bool:
    """Return whether a topic of dead letters is of the topic and the room that are chosen."""
    origin = _origins().get(dead_letters)
    topic, room = origin or (None, None)  # an older version's, which none of the options names
    return choice.topic in {None, topic} and choice.room in {None, room}


def named(opened: Any, *names: str) -> list[Letter]:
    """Return the letters of these names or first digits, settled or not; nothing is read for none.

    Raises:
        Misconfigured: there is no such letter, or there are several.
    """
    found: dict[str, list[Letter]] = {name: [] for name in names}
    for letter in _every(opened) if names else ():
        for name, those in found.items():
            if letter.id.startswith(name):
                those.append(letter)
    for name, those in found.items():
        if len(those) != 1:
            what = f"{len(those)} letters begin with" if those else "there is no letter"
            raise Misconfigured(f"{what} {name!r}; see `overread dlq list --each`")
    return [letter for (letter,) in found.values()]


def unsettled(opened: Any, choice: Choice) -> Iterator[Letter]:
    """Yield what was chosen and nobody has settled."""
    from overread.bus.settling import settled

    with opened.store.reading() as tx:
        done = settled(tx).keys()
    with err.status("reading letters …"):
        for letter in _every(opened):
            if letter.id not in done and choice.takes(letter):
                yield letter


def _every(opened: Any) -> Iterator[Letter]:
    from overread.bus.settling import letters

    origins = _origins()
    if opened.settings.bus_url:
        _find_topics(opened.settings, origins)
    return letters(opened.bus, origins)


def _find_topics(settings: Settings, names: Collection[str]) -> None:
    """Say at once that a cluster has none of the topics: a reader would wait for them."""
    from overread.house import operator

    with operator(settings) as cluster:
        absent = cluster.absent(names)
    if len(absent) == len(names):
        raise Misconfigured(
            f"bus_url: the cluster has no topic of dead letters; its operator makes them: overread topics apply --bus "
            f"{settings.bus_url}"
        )


def _origins() -> dict[str, Origin]:
    """Return every topic of dead letters that the map knows."""
    from overread.bus.dead_letters import topic_of
    from overread.bus.settling import Origin

    from_map = (Origin(row.consumes.topic, row.room) for row in LINE if not isinstance(row.consumes, str))
    return {topic_of(*origin): origin for origin in from_map}
