"""`overread labels`: what readers said, and labels that somebody brings along."""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from overread.cli.app import Json, app, house
from overread.cli.hospital import bar
from overread.config import Settings
from overread.core.errors import Misconfigured, PacsUnavailable
from overread_learn.printing import out, show, tabulate

labels = typer.Typer(help="Labels: list, import.", no_args_is_help=True)
app.add_typer(labels, name="labels")


@labels.command("list")
def list_labels(*, as_json: Json = False) -> None:
    """List the labels of train and validation patients. Locked patients' are nobody's to list."""
    from overread.trainer import standing

    with house() as opened, opened.store.reading() as tx:
        rows = standing.labels(tx)
    columns = ("candidate", "split", "verdict", "label", "agreement", "readers", "version", "purpose")
    show(rows, as_json=as_json, table=tabulate(f"{len(rows)} labels", columns, rows))


@labels.command("import")
def import_labels(
    folder: Annotated[Path, typer.Argument(help="A candidate set: candidates.csv and images/.")],
    reader: Annotated[str, typer.Option(help="Who stands for these labels in the ledger.")] = "import",
) -> None:
    """Bring in a labelled candidate set: its images by C-STORE, its labels as corrections.

    `overread up` must run; where the set brings a split of its own, with `--set splits=FILE`, so that it holds (this
    command writes FILE and says so). Each image becomes a DICOM object, its candidates an SR, and each label a verdict
    through the REST API, so that nothing enters by a side door.

    Example:
        overread labels import archive/2024
    """
    from overread.pacs import dimse
    from overread.simulation import archive, photographs

    with house() as opened, tempfile.TemporaryDirectory() as scratch, bar() as progress:
        settings = opened.settings
        task = progress.add_task("wrapping", total=None)
        wrapped = photographs.wrap(folder, Path(scratch), on_progress=lambda: progress.advance(task))
        _keep_split(settings, wrapped.splits)
        files = sorted(Path(scratch).rglob("*.dcm"))
        task = progress.add_task("sending", total=len(files))
        report = dimse.send(
            files,
            settings.gateway.host,
            settings.gateway.port,
            called=settings.gateway.ae_title,
            calling="OVERREAD_IMPORT",
            on_sent=lambda _: progress.advance(task),
        )
        if report.stored < len(files):
            raise PacsUnavailable(
                f"{len(files) - report.stored} of {len(files)} instances were refused; see the gateway's log"
            )
        task = progress.add_task("labelling", total=None)
        counts = archive.answer(
            f"http://{settings.review.host}:{settings.review.port}",
            wrapped.truth,
            opened.pseudonyms,
            reader=reader,
            candidates=wrapped.candidates,
            idle_seconds=settings.candidates.settle_seconds + 20,
            on_progress=lambda *_: progress.advance(task),
        )
    out.print(f"{report.stored} instances, {counts}")


def _keep_split(settings: Settings, given: Path) -> None:
    """Refuse a set whose own split the house does not know: its held-out patients would be learnt from.

    Raises:
        Misconfigured: it names the file to start the house with.
    """
    with given.open(newline="") as file:
        wanted = {row["patient_id"]: row["split"] for row in csv.DictReader(file)}
    known = settings.given_splits()
    if any(known.get(patient) != split for patient, split in wanted.items()):
        kept = settings.data / "splits.csv"
        kept.write_bytes(given.read_bytes())
        raise Misconfigured(
            f"the set brings its own split of patients, and this house does not know it: start it again with "
            f"`--set splits={kept}` and import with the same option"
        )
