"""`overread-learn evaluate`: how good a model is on the test patients of a set."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from overread_learn.cli.app import Candidates, Json, app
from overread_learn.evaluate import clustered_auc
from overread_learn.evaluate.calibration import brier, ece
from overread_learn.evaluate.froc import cpm, froc_curve
from overread_learn.evaluate.pr import average_precision
from overread_learn.evaluate.roc import macro_auc, partial_auc
from overread_learn.printing import show, tabulate
from overread_learn.scoring import Scorer, softmax


@app.command()
def evaluate(
    *,
    candidates: Candidates,
    model: Annotated[Path, typer.Option(help="An exported ONNX file.", metavar="FILE")],
    missed: Annotated[int, typer.Option(min=0, help="Lesions of the test images that are no candidate at all.")] = 0,
    as_json: Json = False,
) -> None:
    """Judge a model on the test patients: ROC, precision and recall, FROC, calibration; patients are the clusters.

    Only these need labels: a set of another hospital may have the split `test` in every row.

    Example: `overread-learn evaluate --candidates set --model model.onnx --json`
    """
    from overread_learn.cli.scored import score_test  # noqa: PLC0415 - `--help` does not wait for ONNX Runtime

    found = score_test(candidates, Scorer(model))
    truth = np.array([row.label for row in found.rows], np.int64)
    p = softmax(found.logits).mean(axis=1)
    facts: dict[str, Any] = {"candidates": len(truth), "positives": int((truth > 0).sum()), "auc": macro_auc(truth, p)}
    facts |= {"ece": ece(truth, p), "brier": brier(truth, p)}
    if p.shape[1] == 2:  # what follows tells positive from negative
        auc = clustered_auc(truth, p[:, 1], [row.patient for row in found.rows])
        facts |= auc._asdict() | {"auc": auc.value}
        del facts["value"]
        images = len({row.image for row in found.rows})
        facts |= {
            "average_precision": average_precision(truth, p[:, 1]),
            "partial_auc_at_10_percent": partial_auc(truth, p[:, 1], 0.1, standardised=True),
            "cpm": cpm(froc_curve(truth, p[:, 1], images=images, missed=missed)),
            "images": images,
        }
    rows = [{"measure": name, "value": value} for name, value in facts.items()]
    show(facts, as_json=as_json, table=tabulate(str(model), ("measure", "value"), rows))
