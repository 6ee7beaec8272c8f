"""`overread-learn finetune` and `export`: from labels to a network."""

from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress

from overread_learn.applications import Application as AnApplication
from overread_learn.applications import load
from overread_learn.cli.app import Application, Arch, Candidates, Json, Weights, app, digest_of, weights_file
from overread_learn.cli.gathered import gathered
from overread_learn.experiment.comparison import commit, write
from overread_learn.files import write_whole
from overread_learn.printing import err, show, tabulate

if TYPE_CHECKING:
    from overread_learn.nets import Classifier


@app.command()
def finetune(
    *,
    candidates: Candidates,
    application: Application = "fundus-microaneurysm",
    arch: Arch = "squeezenet1_1",
    weights: Weights = None,
    parent: Annotated[
        Path | None, typer.Option(help="Go on from this model.pt instead of --weights.", metavar="FILE")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="The application's if left out.")] = None,
    seed: int = 0,
    out_folder: Annotated[
        Path, typer.Option("--out", help="Where model.pt, model.onnx and finetune.json go.", metavar="DIR")
    ],
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last finished epoch.")] = False,
    as_json: Json = False,
) -> None:
    """Fine-tune a network on the train patients' labels; the epoch is chosen on the validation patients.

    Example: `overread-learn finetune --candidates set --weights squeezenet1_1.pth --out build/model`
    """
    from overread_learn.experiment.depths import held, train  # noqa: PLC0415 - `--help` does not wait for torch
    from overread_learn.finetune import EpochReport, recipe  # noqa: PLC0415
    from overread_learn.finetune import finetune as learn  # noqa: PLC0415
    from overread_learn.nets import build, check_input, from_bytes, to_bytes  # noqa: PLC0415

    chosen = load(application)
    file = None if parent else weights_file(arch, weights)
    model = from_bytes(parent.read_bytes()) if parent else build(arch, len(chosen.classes), file, seed)
    check_input(model.arch, model.classes, chosen.input_px)
    if model.classes != len(chosen.classes):
        raise ValueError(f"{parent} has {model.classes} classes, application {chosen.name} {len(chosen.classes)}")
    checkpoint = out_folder / "checkpoint.pt"
    if checkpoint.exists() and not resume:
        raise ValueError(f"{checkpoint} is there: go on with --resume, or name another --out")
    material = gathered(candidates, chosen, out_folder / "material", held_out=1)
    samples, validation = train(material), held(material, material.validation)
    terms = recipe(chosen, seed=seed, random_start=file is None and parent is None, epochs=epochs)
    with Progress(console=err) as progress:
        task = progress.add_task("epochs", total=terms.epochs)

        def on_epoch(report: EpochReport) -> None:
            progress.update(task, completed=report.epoch, description=f"epoch {report.epoch}, AUC {report.auc:.3f}")

        fitted = learn(model, samples, validation[:2], terms, on_epoch, checkpoint=checkpoint)
    write_whole(out_folder / "model.pt", to_bytes(fitted.model, chosen))
    sha256 = _export(fitted.model, chosen, out_folder / "model.onnx")
    facts = {
        "auc_validation": fitted.auc_validation,
        "best_epoch": fitted.best_epoch,
        "labels": len(samples),
        "started_from": digest_of(parent or file),
        "sha256": sha256,
        "commit": commit(),
    }
    write(out_folder / "finetune.json", {**facts, "history": [asdict(report) for report in fitted.history]})
    checkpoint.unlink(missing_ok=True)
    rows = [{"field": name, "value": value} for name, value in facts.items()]
    show(facts, as_json=as_json, table=tabulate(str(out_folder), ("field", "value"), rows))


@app.command()
def export(
    model: Annotated[Path, typer.Argument(help="A model.pt that `finetune` wrote.")],
    file: Annotated[Path, typer.Argument(help="The ONNX file to write.")],
    *,
    application: Annotated[
        str | None,
        typer.Option(help="An application's name, or a TOML file; the model's own if left out.", metavar="NAME|FILE"),
    ] = None,
    other: Annotated[
        bool,
        typer.Option("--other-application", help="Write --application though the model learnt another one."),
    ] = False,
) -> None:
    """Write a network as ONNX, with all that scoring needs inside the file; it prints the file's SHA-256.

    A model.pt knows the application that it learnt: patches cut in another way would only be scored worse, so another
    one is refused unless `--other-application` stands beside it.

    Example: `overread-learn export build/model/model.pt model.onnx`
    """
    from overread_learn.nets import application_of, from_bytes  # noqa: PLC0415 - `--help` does not wait for torch

    content = model.read_bytes()
    network, own = from_bytes(content), application_of(content)
    chosen = own if application is None else load(application)
    if chosen is None:
        raise ValueError(f"{model} is of a version that did not keep its application: name it by --application")
    if own is not None and chosen != own and not other:
        raise ValueError(
            f"{model} learnt {own.name}, and {application} cuts its patches in another way ({_differences(own, chosen)}"
            "): leave --application out, or add --other-application"
        )
    typer.echo(_export(network, chosen, file))


def _differences(own: AnApplication, other: AnApplication) -> str:
    """Name the keys in which two applications differ, of those that tell whether a model belongs to one."""
    keys = (one.name for one in fields(own) if one.compare)
    return ", ".join(key for key in keys if getattr(own, key) != getattr(other, key))


def _export(model: "Classifier", application: AnApplication, file: Path) -> str:
    from overread_learn.export import export as write_onnx  # noqa: PLC0415 - torch

    return write_onnx(model, application, file, extra={})
