"""`overread-learn evaluate`: how good a model is on the test patients of a set."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from overread_learn.cli.app import Candidates, Json, app
from overread_learn.cli.looked_at import Counted, counted, lesions
from overread_learn.evaluate.verdict import REPLICATES, SHARES, LookedAt, verdict
from overread_learn.experiment.candidate_set import read
from overread_learn.experiment.taught import taught
from overread_learn.printing import err, lay, show, tabulate, warn
from overread_learn.scoring import Scorer, softmax

WITHIN = "95 % interval"
INTERVAL = "_interval"


@app.command()
def evaluate(
    *,
    candidates: Candidates,
    model: Annotated[Path, typer.Option(help="An exported ONNX file.", metavar="FILE")],
    images: Annotated[
        str | None,
        typer.Option(
            help="How many images of test patients were looked at, or a CSV file of them: image_id, and if need be "
            "patient_id and missed (its lesions that are no candidate at all). Left out: those with a judged "
            "candidate, and, where every patient is a test patient, those in images/ that stand in no row.",
            metavar="N|FILE",
        ),
    ] = None,
    missed: Annotated[int, typer.Option(min=0, help="Lesions of the test images that are no candidate at all.")] = 0,
    page: Annotated[
        Path | None, typer.Option(help="Write the figures and the curves as an HTML page, too.", metavar="FILE")
    ] = None,
    as_json: Json = False,
) -> None:
    """Judge a model on the test patients: ROC, precision and recall, FROC, calibration, and at its operating point.

    Patients are the clusters. Only these need labels: a set of another hospital may have the split `test` in every row.
    Where several candidates hit one lesion, a column `lesion_id` in candidates.csv says which. `--json` has the points
    of all curves, too.

    Example: `overread-learn evaluate --candidates set --model model.onnx --json`
    """
    from overread_learn.cli.scored import score_test  # noqa: PLC0415 - `--help` does not wait for ONNX Runtime

    if page and not page.parent.is_dir():  # said before the scoring, which takes its time
        raise FileNotFoundError(f"--page: there is no folder {page.parent}")
    if page and page.is_dir():
        raise IsADirectoryError(f"--page: {page} is a folder")
    found, whom = read(candidates), taught(model)
    looked_at = counted(found, images, missed)
    scorer = Scorer(model)
    scores = score_test(found, scorer)
    with err.status(f"intervals: {REPLICATES} draws of patients"):
        facts = verdict(
            np.array([row.label for row in scores.rows], np.int64),
            softmax(scores.logits).mean(axis=1),
            [row.patient for row in scores.rows],
            LookedAt(looked_at.images, looked_at.missed, lesions(scores.rows)),
            scorer.application.classes,
            scorer.application.operating_point,
            REPLICATES,
        )
    facts["images_without_candidate"] = looked_at.without
    tested = {row.patient for row in scores.rows}
    facts["patients_learnt_from"] = whom.known(tested)
    notes = list(_notes(facts, looked_at))
    if facts["patients_learnt_from"]:
        notes.insert(0, f"{facts['patients_learnt_from']} of the {len(tested)} test patients have taught this model.")
    for note in notes:
        warn(note)
    tables = [(str(model), list(_rows(facts)))]
    if "classes" in facts:
        each = [{"class": one["class"], **row} for one in facts["classes"] for row in _rows(one)]
        tables.append(("each class against the rest", each))
    if page:
        from overread_learn.experiment.report.judged import judged  # noqa: PLC0415 - who wants no page waits for none

        page.write_text(judged(f"{model.name} on {candidates.name}", facts, tables, notes), encoding="utf-8")
    laid = [tabulate(title, tuple(rows[0]), rows) for title, rows in tables]
    show(facts, as_json=as_json, table=laid[0])
    if not as_json:
        for table in laid[1:]:
            lay(table)


def _rows(facts: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Return the table's rows: what is a number, with its interval beside it."""
    for name, value in facts.items():
        if isinstance(value, int | float) and name != "label":
            within = facts.get(f"{name}{INTERVAL}")
            shown = None if within is None else f"{within[0]:.4g} to {within[1]:.4g}"
            yield {"measure": name, "value": value, WITHIN: shown}


def _notes(facts: Mapping[str, Any], looked_at: Counted) -> Iterator[str]:
    """Say what a reader of the numbers would otherwise not know is missing."""
    if looked_at.unclear:
        yield (
            f"{looked_at.unclear} in images/ stand in no row of candidates.csv and are not counted: nobody says "
            f"whether they are of test patients. FROC rests on {facts['images']}; to say otherwise, give --images."
        )
    if isinstance(looked_at.missed, int) and looked_at.missed:
        yield (
            "cpm has no interval, for nobody says whose the missed lesions are: "
            "give a file to --images, with the column missed."
        )
    if not facts["called"]:
        yield f"Nothing is called positive at {facts['operating_point']:g}: there is no predictive value."
    each = [one for one in facts.get("classes", [facts]) if one["auc"] is not None]
    few = [one for one in each if min(one["patients_pos"], one["patients_neg"]) < 2]
    if few:
        names = [one.get("class", "auc") for one in few] + ["auc"] * ("classes" in facts)
        yield f"No interval where fewer than two patients have a class, or others than it: {', '.join(names)}."
    alike = [] if few else list(_without(facts, looked_at))
    if "classes" in facts:
        alike += [f"{name} of {one['class']}" for one in each if one not in few for name in _without(one, looked_at)]
    if alike:
        yield f"No interval of {', '.join(alike)}: all draws of these patients say the same, and others may not."
    shares = [name for name in SHARES if facts[name] is not None and facts[f"{name}{INTERVAL}"] is None]
    if shares:
        yield f"No interval of {', '.join(shares)}: how a share of 0, of 1 or of one patient varies no draw can tell."


def _without(facts: Mapping[str, Any], looked_at: Counted) -> Iterator[str]:
    """Name the figures that have a value and no interval, but those of which that is said elsewhere."""
    said = {*SHARES, *(["cpm"] if isinstance(looked_at.missed, int) and looked_at.missed else [])}
    for name, value in facts.items():
        if value is not None and name not in said and facts.get(f"{name}{INTERVAL}", ()) is None:
            yield name
