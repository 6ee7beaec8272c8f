"""`overread dlq`: dead letters and parked events, looked into, sent again, or let lie."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from overread.cli.app import Json, app, house
from overread.cli.letters import content, grouped, line
from overread.core.clock import utc_now
from overread.core.errors import Misconfigured
from overread.topology import LINE
from overread_learn.printing import err, show, tabulate

if TYPE_CHECKING:
    from overread.bus.settling import Choice, Letter, Origin

dlq = typer.Typer(
    help="Dead letters: what a room could not handle. List, show, replay, drop; each act is written down.",
    no_args_is_help=True,
)
app.add_typer(dlq, name="dlq")

Topic = Annotated[str | None, typer.Option(help="Only events of this topic.")]
Room = Annotated[str | None, typer.Option(help="Only what this room set aside.")]
Error = Annotated[str | None, typer.Option(help="Only where the error holds these words.")]
Offsets = Annotated[str | None, typer.Option(help="Only these offsets of the letters: 7, 3-9 or 3-.", metavar="RANGE")]
Parked = Annotated[
    bool | None, typer.Option("--parked/--dead", help="Only what waits for a newer version, or only the rest.")
]
Letters = Annotated[list[str] | None, typer.Argument(metavar="[LETTER]...", help="Names, or their first digits.")]
All = Annotated[bool, typer.Option("--all", help="Every open letter, where nothing else chooses.")]
Name = Annotated[str, typer.Option("--name", help="Who you are: it stands in the audit.")]
Reason = Annotated[str, typer.Option(help="Why: it stands in the audit.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@dlq.command("list")
def list_letters(
    topic: Topic = None,
    room: Room = None,
    error: Error = None,
    offsets: Offsets = None,
    parked: Parked = None,
    *,
    each: Annotated[bool, typer.Option("--each", help="One row a letter, with its name.")] = False,
    settled: Annotated[bool, typer.Option("--settled", help="The audit: what was done, by whom and why.")] = False,
    as_json: Json = False,
) -> None:
    """List open letters by room, topic and reason; what differs between two of one reason reads “…”.

    Examples:
        overread dlq list
        overread dlq list --room review --each
        overread dlq list --settled --json
    """
    from overread.bus.settling import settled as audit

    choice = _choice(topic, room, error, offsets, parked)
    columns: tuple[str, ...]
    with house() as opened:
        if settled:
            with opened.store.reading() as tx:
                rows = [row._asdict() for row in audit(tx).values()]
            columns = ("time", "outcome", "name", "reason", "topic", "letter")
        elif each:
            rows = [line(letter) for letter in _open(opened, choice)]
            columns = ("letter", "room", "topic", "offset", "time", "parked", "attempts", "error")
        else:
            rows = grouped(_open(opened, choice))
            columns = ("room", "topic", "reason", "letters", "parked", "offsets", "oldest", "newest")
    show(rows, as_json=as_json, table=tabulate("dead letters", columns, rows))


@dlq.command("show")
def show_letter(
    letter: Annotated[str, typer.Argument(help="Its name, or the first digits: `overread dlq list --each`.")],
    *,
    value: Annotated[bool, typer.Option("--value", help="Print a foreign system's value and headers, too.")] = False,
    as_json: Json = False,
) -> None:
    """Show one letter: what it was, where, why it was set aside, and what was done about it.

    What another system wrote may hold identifiers: of that only the sizes are shown, unless you ask for it.

    Example:
        overread dlq show 3f9a02c1
    """
    from overread.bus.settling import Choice, letters
    from overread.bus.settling import settled as audit

    with house() as opened:
        asked = Choice(ids=(letter,))
        found = [each for each in letters(opened.bus, _origins()) if asked.takes(each)]
        with opened.store.reading() as tx:
            done = audit(tx)
    if len(found) != 1:
        what = "there is no letter" if not found else f"{len(found)} letters begin with"
        raise Misconfigured(f"{what} {letter!r}; see `overread dlq list --each`")
    (one,) = found
    entry = done.get(one.id)
    facts = {**line(one), **content(one, whole=value), "settled": entry._asdict() if entry else None}
    rows = [{"field": field, "value": said} for field, said in facts.items()]
    show(facts, as_json=as_json, table=tabulate("letter", ("field", "value"), rows))


@dlq.command()
def replay(
    name: Name,
    reason: Reason,
    which: Letters = None,
    topic: Topic = None,
    room: Room = None,
    error: Error = None,
    offsets: Offsets = None,
    parked: Parked = None,
    *,
    everything: All = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Send events again on the topic that they came from, for the room that set them aside.

    Rooms that have handled an event pass over it. What this version can't read stays open. Exit code 0 where all that
    was chosen is settled, also if that is nothing; 1 where some stays open, or you said no.

    Examples:
        overread dlq replay --room review --error OutOfMemory --name "on call" --reason "more memory" --yes
        overread dlq replay --parked --name "on call" --reason "after the upgrade" --yes
    """
    from overread.bus.settling import Act
    from overread.bus.settling import replay as say_again

    choice = _some(_choice(topic, room, error, offsets, parked, which), everything=everything)
    with house() as opened:
        chosen = _agreed(_open(opened, choice), "are sent again to every room that hears their topics", yes=yes)
        act = Act(name, reason, utc_now())
        again = (letter for letter in _open(opened, choice) if letter.id in chosen)
        done = say_again(opened.store, opened.outbox, again, act) if chosen else None
    facts = {"chosen": len(chosen), "replayed": 0, "unreadable": 0, **(done._asdict() if done else {})}
    show(facts, as_json=as_json, table=tabulate("sent again", tuple(facts), [facts]))
    if facts["unreadable"]:
        err.print("some can't be read by this version either, and stay open: `overread dlq show` says why")
        raise typer.Exit(1)


@dlq.command()
def drop(
    name: Name,
    reason: Reason,
    which: Letters = None,
    topic: Topic = None,
    room: Room = None,
    error: Error = None,
    offsets: Offsets = None,
    parked: Parked = None,
    *,
    everything: All = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Mark letters as dropped: they are listed no more. The log keeps them, and `overread dlq show` still finds them.

    Exit code 0, also where nothing was chosen; 1 where you said no.

    Example:
        overread dlq drop 3f9a02c1 --name "on call" --reason "a test of the vendor's" --yes
    """
    from overread.bus.settling import Act
    from overread.bus.settling import drop as let_lie

    choice = _some(_choice(topic, room, error, offsets, parked, which), everything=everything)
    with house() as opened:
        chosen = _agreed(_open(opened, choice), "are dropped: what they say is never handled", yes=yes)
        again = (letter for letter in _open(opened, choice) if letter.id in chosen)
        dropped = let_lie(opened.store, again, Act(name, reason, utc_now())) if chosen else 0
    facts = {"chosen": len(chosen), "dropped": dropped}
    show(facts, as_json=as_json, table=tabulate("dropped", tuple(facts), [facts]))


def _origins() -> dict[str, Origin]:
    """Return every topic of dead letters that the map knows."""
    from overread.bus.dead_letters import topic_of
    from overread.bus.settling import Origin

    heard = (Origin(row.consumes.topic, row.room) for row in LINE if not isinstance(row.consumes, str))
    return {topic_of(*origin): origin for origin in heard}


def _choice(
    topic: str | None,
    room: str | None,
    error: str | None,
    offsets: str | None,
    parked: bool | None,
    which: list[str] | None = None,
) -> Choice:
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
    if any(not re.fullmatch("[0-9a-f]{4,64}", one) for one in which or ()):
        raise Misconfigured("a letter's name is 4 hexadecimal digits or more, as `overread dlq list --each` shows them")
    return Choice(topic, room, _range(offsets), error, parked, tuple(which or ()))


def _range(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    if not (found := re.fullmatch(r"(\d+)(-(\d*))?", text)):
        raise Misconfigured(f"--offsets {text}: write 7, 3-9 or 3-")
    first = int(found[1])
    last = first if found[2] is None else int(found[3] or 2**63)
    return first, last


def _some(choice: Choice, *, everything: bool) -> Choice:
    """Refuse to take all for nothing: a slip of the finger would settle everything."""
    if choice == type(choice)() and not everything:
        raise Misconfigured("choose letters: by name, --topic, --room, --error, --offsets, --parked, or take --all")
    return choice


def _open(opened: Any, choice: Choice) -> Iterator[Letter]:
    """Yield what was chosen and nobody has settled."""
    from overread.bus.settling import letters, settled

    with opened.store.reading() as tx:
        done = settled(tx).keys()
    with err.status("reading letters …"):
        for letter in letters(opened.bus, _origins()):
            if letter.id not in done and choice.takes(letter):
                yield letter


def _agreed(found: Iterator[Letter], what: str, *, yes: bool) -> frozenset[str]:
    """Count, ask, and return the names; what comes meanwhile is not among them."""
    names = frozenset(letter.id for letter in found)
    if names and not yes:
        typer.confirm(f"{len(names)} letters {what}. Go on?", abort=True, err=True)
    return names
