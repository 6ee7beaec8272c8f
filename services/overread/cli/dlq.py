"""`overread dlq`: dead letters and parked events, looked into, sent again, or let lie."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from overread.cli.app import Json, app, house
from overread.cli.choice import (
    All,
    Error,
    Letters,
    Offsets,
    Parked,
    Room,
    Topic,
    chosen_by,
    heard,
    named,
    some,
    unsettled,
)
from overread.cli.letters import content, entered, grouped, line
from overread.core.clock import utc_now
from overread.core.errors import Misconfigured
from overread_learn.printing import err, show, tabulate

if TYPE_CHECKING:
    from overread.bus.settling import Act, Letter

dlq = typer.Typer(
    help="Dead letters: what a room could not handle. List, show, replay, drop; each act is written down.",
    no_args_is_help=True,
)
app.add_typer(dlq, name="dlq")

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

    choice = chosen_by(topic, room, error, offsets, parked)
    if settled and choice != type(choice)(choice.topic, choice.room):
        raise Misconfigured(
            "--settled knows topic and room of a letter; leave --error, --offsets, --parked, --dead out"
        )
    columns: tuple[str, ...]
    with house() as opened:
        if settled:
            with opened.store.reading() as tx:
                rows = [entered(row) for row in audit(tx).values() if heard(row.topic, choice)]
            columns = ("time", "outcome", "name", "reason", "topic", "letter")
        elif each:
            rows = [line(letter) for letter in unsettled(opened, choice)]
            columns = ("letter", "room", "topic", "offset", "time", "parked", "attempts", "error")
        else:
            rows = grouped(unsettled(opened, choice))
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
    from overread.bus.settling import settled as audit

    with house() as opened:
        (one,) = named(opened, letter)
        with opened.store.reading() as tx:
            entry = audit(tx).get(one.id)
    facts = {**line(one), **content(one, whole=value), "settled": entered(entry) if entry else None}
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
    was chosen is settled, also if that is nothing; 1 where some stays open, or you said no; 2 where a name is no
    letter's, or several letters'.

    Examples:
        overread dlq replay --room review --error OutOfMemory --name "on call" --reason "more memory" --yes
        overread dlq replay --parked --name "on call" --reason "after the upgrade" --yes
    """
    from overread.bus.settling import replay as say_again

    act = _act(name, reason)
    choice = some(chosen_by(topic, room, error, offsets, parked, which), everything=everything)
    with house() as opened:
        choice = choice._replace(ids=tuple(letter.id for letter in named(opened, *choice.ids)))
        chosen = _agreed(unsettled(opened, choice), "are sent again to every room that hears their topics", yes=yes)
        again = (letter for letter in unsettled(opened, choice) if letter.id in chosen)
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

    Exit code 0, also where nothing was chosen; 1 where you said no; 2 where a name is no letter's, or several letters'.

    Example:
        overread dlq drop 3f9a02c1 --name "on call" --reason "a test of the vendor's" --yes
    """
    from overread.bus.settling import drop as let_lie

    act = _act(name, reason)
    choice = some(chosen_by(topic, room, error, offsets, parked, which), everything=everything)
    with house() as opened:
        choice = choice._replace(ids=tuple(letter.id for letter in named(opened, *choice.ids)))
        chosen = _agreed(unsettled(opened, choice), "are dropped: what they say is never handled", yes=yes)
        again = (letter for letter in unsettled(opened, choice) if letter.id in chosen)
        dropped = let_lie(opened.store, again, act) if chosen else 0
    facts = {"chosen": len(chosen), "dropped": dropped}
    show(facts, as_json=as_json, table=tabulate("dropped", tuple(facts), [facts]))


@dlq.command()
def release(*, yes: Yes = False, as_json: Json = False) -> None:
    """Send again what the broker would not take (`overread status` counts it), behind all that waits.

    No letter, and in no topic: the relay keeps such a row in the outbox, with the reason. Mend the cause first.

    Example:
        overread dlq release --yes
    """
    from overread.bus.relay import release as put_back
    from overread.bus.relay import standing

    with house() as opened:
        with opened.store.reading() as tx:
            refused = standing(tx).refused
        if refused and not yes:
            typer.confirm(
                f"{refused} rows that the broker would not take are tried again. Go on?", abort=True, err=True
            )
        with opened.store.writing() as tx:
            facts = {"released": put_back(tx) if refused else 0}
    show(facts, as_json=as_json, table=tabulate("sent again", tuple(facts), [facts]))


def _act(name: str, reason: str) -> Act:
    """Refuse an audit that says nothing."""
    from overread.bus.settling import Act

    for option, given in (("--name", name), ("--reason", reason)):
        if not given.strip():
            raise Misconfigured(f"{option} is blank; it stands in the audit, so say it")
    return Act(name, reason, utc_now())


def _agreed(found: Iterator[Letter], what: str, *, yes: bool) -> frozenset[str]:
    """Count, ask, and return the names; what comes meanwhile is not among them."""
    names = frozenset(letter.id for letter in found)
    if names and not yes:
        typer.confirm(f"{len(names)} letters {what}. Go on?", abort=True, err=True)
    return names
