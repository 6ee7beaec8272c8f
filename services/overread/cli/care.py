"""Looking after a house: status, doctor, replay, purge."""

from __future__ import annotations

from datetime import UTC, datetime
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Group

from overread.cli.app import Json, app, house, settings
from overread.cli.doctor import examine
from overread.cli.hospital import bar
from overread.cli.rebuilt import rebuilt
from overread.core.errors import Misconfigured
from overread_learn.printing import err, out, show, tabulate


@app.command()
def status(*, as_json: Json = False) -> None:
    """Say what runs, which model serves, what was stored, read and learnt, and what went wrong."""
    from overread.status import behind, collect

    with house() as opened:
        facts = collect(opened)
        if opened.settings.bus_url:
            behind(opened, facts)
    if as_json:
        show(facts, as_json=True)
        return
    serving = facts["serving"]
    line = f"version {serving['version']} ({serving['sha256'][:12]}…) on {serving['provider']}" if serving else "none"
    behind_too = ("behind",) if "relay" in facts else ()  # on a cluster
    out.print(
        Group(
            tabulate("rooms", ("room", "state", "pid", "port", "health", *behind_too), facts["rooms"]),
            *(tabulate("relay", ("unsent", "refused"), [facts["relay"]]) for _ in behind_too),
            f"[bold]serving[/] {line}",
            tabulate("gateway", tuple(facts["gateway"]), [facts["gateway"]]),
            tabulate("corrections", tuple(facts["review"]["corrections"]), [facts["review"]["corrections"]]),
            tabulate("open reads", tuple(facts["review"]["remaining"]), [facts["review"]["remaining"]]),
            tabulate(
                "rounds",
                ("round", "state", "reason", "labels", "auc_validation", "version"),
                facts["trainer"]["rounds"],
            ),
            tabulate("versions", ("version", "kind", "state", "reason"), facts["rollout"]["versions"]),
            tabulate("problems", ("where", "reason", "count"), facts["problems"]),
        )
    )


@app.command()
def doctor(*, as_json: Json = False) -> None:
    """Say what is missing on this machine, and what to do. Exit code 1 if something that is needed is missing."""
    checks = examine(settings())
    rows = [check._asdict() for check in checks]
    show(rows, as_json=as_json, table=tabulate("doctor", ("what", "state", "detail", "mend"), rows))
    if any(check.state == "missing" for check in checks):
        raise typer.Exit(1)


@app.command()
def replay(
    into: Annotated[
        str | None,
        typer.Option(help="A file that does not exist yet, or the URL of an empty database.", metavar="FILE|URL"),
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(help="Leave out what came after. Without an offset, such as +01:00, it is UTC.")
    ] = None,
    *,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare with the live state; exit code 1 if it differs.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Rebuild ledger and labels from the bus alone. With --verify alone what is rebuilt is thrown away again.

    Verify while nobody works: a room that is still handling events differs from what they say. What a replay made is
    removed where it fails.

    Examples:
        overread replay --verify
        overread replay --into rebuilt.db --until 2026-03-04T08:00:00+01:00
        overread replay --into postgresql://overread@host/rebuilt --verify
    """
    from overread.replay import differences
    from overread.replay import replay as rebuild

    if into is not None and not into.strip():
        raise Misconfigured("--into is empty; name a file or a URL (is a variable of the shell not set?)")
    if into is None and not verify:
        raise Misconfigured("say where to: --into FILE or --into URL; or --verify alone")
    if until and verify:
        raise Misconfigured("--verify compares with what is live now, so it takes no --until")
    if until and until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    with (
        house() as opened,
        TemporaryDirectory() as scratch,
        rebuilt(into or f"{scratch}/rebuilt.db") as target,
        bar() as progress,
    ):
        task = progress.add_task("replaying", total=None)
        replayed = rebuild(
            opened.bus,
            target,
            until=until,
            on_progress=lambda number: progress.advance(task, number),
        )
        found = differences(opened.store, target) if verify else []
    facts = {**replayed._asdict(), **({"differences": found} if verify else {})}
    show(facts, as_json=as_json, table=tabulate("replayed", tuple(facts), [facts]))
    if found:
        raise typer.Exit(1)


@app.command()
def purge(
    study: Annotated[str, typer.Argument(help="Study Instance UID, or the pseudonym s-….")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Forget a study: its pixels, its candidates, its labels. Models that learnt from it are listed.

    Example:
        overread purge 1.2.840.113619.2.55.3 --yes
    """
    from overread.gateway.purge import purge as forget

    if not yes:
        typer.confirm("Pixels, candidates and labels of this study are deleted for ever. Go on?", abort=True)
    with house() as opened:
        with opened.store.reading() as tx:
            from overread.trainer.standing import learnt_from

            learnt = learnt_from(tx, study if study.startswith("s-") else opened.pseudonyms.study(study))
        purged = forget(opened.store, opened.outbox, opened.blobs, study)
    if purged is None:
        raise Misconfigured("no such study is here; give its Study Instance UID or its pseudonym")
    facts = {**purged._asdict(), "labels": learnt.labels, "versions": learnt.versions}
    show(facts, as_json=as_json, table=tabulate("purged", tuple(facts), [facts]))
    if learnt.versions and not as_json:
        err.print("these versions may have learnt from it; the next round forgets it")
