"""`overread rollout`: where versions stand, and what people do about it."""

from __future__ import annotations

from typing import Annotated

import typer

from overread.cli.app import Json, app, house
from overread.core.clock import utc_now
from overread.core.errors import Misconfigured
from overread_learn.printing import out, show, tabulate

rollout = typer.Typer(help="The gated rollout: list, show, sign, stop.", no_args_is_help=True)
app.add_typer(rollout, name="rollout")

Version = Annotated[int, typer.Argument(help="Its number.")]
Name = Annotated[str, typer.Option("--name", help="Who you are: it stands in the ledger.")]


@rollout.command("list")
def list_versions(*, as_json: Json = False) -> None:
    """List all versions and their states."""
    from overread.rollout import standing

    with house() as opened, opened.store.reading() as tx:
        rows = standing.versions(tx)
    columns = ("version", "kind", "round", "state", "cleared", "sha256", "reason")
    show(rows, as_json=as_json, table=tabulate("rollout", columns, rows))


@rollout.command("show")
def show_version(version: Version, *, as_json: Json = False) -> None:
    """Show a version's history, evidence and signatures."""
    from overread.rollout import standing

    with house() as opened, opened.store.reading() as tx:
        facts = standing.show(tx, version)
    if facts is None:
        raise Misconfigured(f"there is no version {version}; see `overread rollout list`")
    if as_json:
        show(facts, as_json=True)
        return
    out.print(tabulate(f"version {version}", ("kind", "state", "cleared", "sha256", "reason"), [facts]))
    out.print(tabulate("history", ("time", "from_state", "to_state", "by", "reason"), facts["transitions"]))
    columns = ("gate", "answer", "auc_locked", "auc_champion", "auc_cleared", "interval", "reason")
    out.print(tabulate("evidence", columns, facts["evidence"]))
    out.print(tabulate("signatures", ("name", "meaning", "time"), facts["signatures"]))


@rollout.command()
def sign(version: Version, name: Name, *, as_json: Json = False) -> None:
    """Sign the evidence of a version that awaits sign-off.

    Example:
        overread rollout sign 3 --name "head of radiology"
    """
    from overread.rollout.signoff import sign as put_down

    with house() as opened, opened.store.writing() as tx:
        signature = put_down(tx, version, name, time=utc_now())
    if as_json:
        show(signature._asdict(), as_json=True)
    else:
        out.print(f"version {version} signed by {signature.name}" + ("" if signature.new else " (already)"))


@rollout.command()
def stop(
    version: Version,
    name: Name,
    reason: Annotated[str, typer.Option(help="Why: it stands in the ledger.")],
    *,
    as_json: Json = False,
) -> None:
    """Abort a version on its way, or roll a champion back to the one before it.

    Example:
        overread rollout stop 3 --name "head of radiology" --reason "misses in scanner 2"
    """
    from overread.core.codec import Envelope
    from overread.rollout.signoff import stop as put_an_end_to

    with house() as opened, opened.store.writing() as tx:
        events = put_an_end_to(tx, version, name, reason=reason, time=utc_now())
        opened.outbox(tx, [Envelope(event, "rollout").record() for event in events])
    facts = [{"event": type(event).__name__, **event.model_dump(include={"version", "sha256"})} for event in events]
    show(facts, as_json=as_json, table=tabulate("done", ("event", "version"), facts))
