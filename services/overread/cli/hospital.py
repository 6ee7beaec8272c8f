"""The other side of the wire: send studies, make phantoms, read like a radiologist."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from overread.cli.app import Json, app, house, settings
from overread.core.errors import Misconfigured
from overread_learn.printing import err, out, show, tabulate


def bar() -> Progress:
    """Return a progress bar on stderr, so that stdout stays for facts."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=err)


@app.command()
def send(
    folder: Annotated[Path, typer.Argument(help="A file or a folder, searched through.")],
    host: Annotated[str | None, typer.Option(help="Default: this house's gateway.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Default: this house's gateway.")] = None,
    called: Annotated[str | None, typer.Option("--aec", help="Called AE title.")] = None,
    calling: Annotated[str, typer.Option("--aet", help="Our own AE title.")] = "OVERREAD_SCU",
    record: Annotated[Path | None, typer.Option(help="Append each SOP UID answered with success, fsynced.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Send DICOM files by C-STORE.

    Exit code 1 if an instance was refused; sending again is harmless, what is stored is answered with success.

    Examples:
        overread send studies/
        overread send studies/ --host pacs.hospital --port 104 --aec OVERREAD
    """
    from overread.pacs import dimse

    if not folder.exists():
        raise Misconfigured(f"{folder}: there is no such file or folder")
    files = [folder] if folder.is_file() else sorted(path for path in folder.rglob("*.dcm") if path.is_file())
    if not files:
        raise Misconfigured(f"{folder}: no *.dcm files")
    here = settings()
    ledger = record.open("a") if record else None
    with bar() as progress:
        task = progress.add_task("sending", total=len(files))

        def note(sent: dimse.Sent) -> None:
            progress.advance(task)
            if ledger is not None and sent.stored:
                ledger.write(json.dumps({"sop_uid": sent.sop_uid}) + "\n")
                ledger.flush()
                os.fsync(ledger.fileno())

        report = dimse.send(
            files,
            host or here.gateway.host,
            port or here.gateway.port,
            called=called or here.gateway.ae_title,
            calling=calling,
            on_sent=note,
        )
    if ledger is not None:
        ledger.close()
    refused = [{"file": str(sent.file), "why": f"0x{sent.status:04X}"} for sent in report.sent if not sent.stored]
    refused += [{"file": str(file), "why": "no DICOM file"} for file in report.unreadable]
    facts = {"files": len(files), "stored": report.stored, "refused": refused}
    if as_json:
        show(facts, as_json=True)
    else:
        out.print(f"{report.stored} of {len(files)} instances stored")
        if refused:
            out.print(tabulate("not stored", ("file", "why"), refused))
    if report.stored < len(files):
        raise typer.Exit(1)


@app.command()
def generate(
    folder: Annotated[Path, typer.Argument(help="Where to; must be empty or new.")],
    studies: Annotated[int, typer.Option(min=1, help="How many CT studies.")] = 40,
    seed: Annotated[int, typer.Option(help="The same seed gives the same studies.")] = 0,
) -> None:
    """Make phantom CT studies with lungs, vessels and nodules, and truth.csv.

    Example:
        overread generate phantoms --studies 60
    """
    from overread.simulation import phantoms

    if folder.exists() and any(folder.iterdir()):
        raise Misconfigured(f"{folder} is not empty; name a new folder")
    with bar() as progress:
        task = progress.add_task("generating", total=studies)
        truth = phantoms.generate(folder, studies=studies, seed=seed, on_progress=lambda: progress.advance(task))
    out.print(f"{studies} studies in {folder}, truth in {truth}")


@app.command()
def read(
    truth: Annotated[Path, typer.Option("--simulate", help="truth.csv: a simulated radiologist answers by it.")],
    url: Annotated[str | None, typer.Option(help=r"The page's address.  \[default: this house's]")] = None,
    reader: Annotated[str, typer.Option(help="The reader's name in the ledger.")] = "simulated",
    error_rate: Annotated[float, typer.Option(min=0, max=1, help="Share of verdicts that are wrong.")] = 0.02,
    unsure_rate: Annotated[float, typer.Option(min=0, max=1, help="Share of reads left unsure.")] = 0.02,
    amend_over: Annotated[float, typer.Option(min=0, help="A mark farther off (pixels) is dragged.")] = 1.0,
    idle: Annotated[float, typer.Option(min=0, help="Stop when nothing was to read for so many seconds.")] = 10.0,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after so many reads.")] = None,
    seed: Annotated[int, typer.Option(help="Of the simulated errors.")] = 0,
    record: Annotated[Path | None, typer.Option(help="Append each accepted correction's key, fsynced.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Read the worklist as a simulated radiologist, through the same REST API as the page.

    It needs the house's pseudonym key (the data directory), since the truth names studies by their UIDs.

    Example:
        overread read --simulate phantoms/truth.csv --error-rate 0.05
    """
    from overread.simulation import reader as radiologist

    with house() as opened:
        here = opened.settings.review
        with bar() as progress:
            task = progress.add_task("reading", total=None)
            counts = radiologist.read(
                url or f"http://{here.host}:{here.port}",
                truth,
                opened.pseudonyms,
                reader=reader,
                error_rate=error_rate,
                unsure_rate=unsure_rate,
                amend_over_px=amend_over,
                record=record,
                limit=limit,
                seed=seed,
                idle_seconds=idle,
                on_progress=lambda *_: progress.advance(task),
            )
    facts = dict(counts) if isinstance(counts, dict) else counts._asdict()
    show(facts, as_json=as_json, table=tabulate("corrections", tuple(facts), [facts]))
