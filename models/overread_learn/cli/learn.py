"""`overread-learn finetune` and `export`: from labels to a network."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress

from overread_learn.applications import Application as AnApplication
from overread_learn.applications import load
from overread_learn.cli.app import Application, Arch, Candidates, Json, Weights, app, digest_of, weights_file
from overread_learn.cli.gathered import gathered
from overread_learn.experiment.comparison import commit, write
from overread_learn.files import write_whole
from overread_learn.printing import err, show, tabulate, warn

if TYPE_CHECKING:
    from overread_learn.nets import Classifier


@app.command()
def finetune(
    ctx: typer.Context,
    *,
    candidates: Candidates,
    application: Application = "fundus-microaneurysm",
    arch: Arch = "squeezenet1_1",
    weights: Weights = None,
    parent: Annotated[
        Path | None, typer.Option(help="Go on from this model.pt instead of --weights.", metavar="FILE")
    ] = None,
    other: Annotated[
        bool, typer.Option("--other-application", help="Go on from --parent though it learnt another application.")
    ] = False,
    depth: Annotated[
        str,
        typer.Option(
            help="Blocks to train, counted from the head; `search` tries every depth and takes the shallowest within "
            "one standard error of the best.",
            metavar="all|N|search",
        ),
    ] = "all",
    rates: Annotated[
        str,
        typer.Option(
            help="The application's `own`, or the `papers`': for a first round, or for a later one with --parent.",
            metavar="own|papers",
        ),
    ] = "own",
    epochs: Annotated[int | None, typer.Option(min=1, help="The application's if left out.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Fixes what is left to chance.")] = 0,
    out_folder: Annotated[
        Path, typer.Option("--out", help="Where model.pt, model.onnx and finetune.json go.", metavar="DIR")
    ],
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last finished epoch.")] = False,
    as_json: Json = False,
) -> None:
    """Fine-tune a network on the train patients' labels; the epoch is chosen on the validation patients.

    A training that was broken off goes on with `--resume`, bit for bit; a model that is done is never written over.
    Whom it learnt from stands in finetune.json beside it: a later round with --parent holds none of them out.

    Example: `overread-learn finetune --candidates set --weights squeezenet1_1.pth --out build/model`, and a round later
    `overread-learn finetune --candidates more --parent build/model/model.pt --depth 2 --out build/next`
    """
    from overread_learn.experiment.depths import held, train  # noqa: PLC0415 - `--help` does not wait for torch
    from overread_learn.experiment.taught import NOBODY, taught  # noqa: PLC0415
    from overread_learn.experiment.training_folder import SEARCH, TrainingFolder, depth_of  # noqa: PLC0415
    from overread_learn.finetune.rates import check_rates, recipe  # noqa: PLC0415
    from overread_learn.nets import build, check_input, from_bytes, to_bytes  # noqa: PLC0415

    chosen, blocks = load(application), depth_of(depth)
    check_rates(rates, chosen)
    if parent and weights is not None:
        raise ValueError("--parent and --weights both say what to begin with: leave one out")
    file = None if parent else weights_file(arch, weights)
    model = from_bytes(parent.read_bytes(), str(parent)) if parent else build(arch, len(chosen.classes), file, seed)
    said = ctx.get_parameter_source("arch")
    if parent and model.arch != arch and said and said.name == "COMMANDLINE":
        raise ValueError(f"{parent} is a {model.arch}: leave --arch {arch} out")
    _check_parent(model, parent, chosen, other=other)
    check_input(model.arch, model.classes, chosen.input_px)
    work = TrainingFolder(out_folder, model, blocks)
    work.check(resume=resume)
    whom = taught(parent) if parent else NOBODY
    material = gathered(candidates, chosen, out_folder / "material", held_out=2 if blocks == SEARCH else 1)
    whom = whom.then(material.sides())
    samples, validation = train(material), held(material)
    phase = ("later" if parent else "scratch" if model.at_random else "first") if rates == "papers" else None
    terms = recipe(chosen, seed=seed, random_start=model.at_random, phase=phase, epochs=epochs)
    training = work.identity(samples, validation, terms)
    facts = work.done(training)
    if facts is not None:
        _check_export(facts, out_folder, chosen)
    else:
        with Progress(console=err) as progress:
            task = progress.add_task("epochs", total=terms.epochs)
            fitted, found = work.fit(
                samples,
                validation,
                terms,
                lambda report: progress.update(
                    task, completed=report.epoch, description=f"epoch {report.epoch}, AUC {report.auc:.3f}"
                ),
                lambda row: progress.console.print(f"depth {row.depth}, {row.blocks}: AUC {row.auc:.3f}"),
            )
        write_whole(out_folder / "model.pt", to_bytes(fitted.model, chosen))
        facts = {
            "auc_validation": fitted.auc_validation,
            "best_epoch": fitted.best_epoch,
            "labels": len(samples),
            **found,
            "started_from": digest_of(parent or file),
            "weights_sha256": digest_of(out_folder / "model.pt"),
            "sha256": _export(fitted.model, chosen, out_folder / "model.onnx"),
            "commit": commit(),
            "training": training,
        }
        history = [asdict(report) for report in fitted.history]
        write(work.facts, {**facts, "history": history, **whom.facts()})
        work.clear()
    rows = [{"field": name, "value": value} for name, value in facts.items() if not isinstance(value, list)]
    show(facts, as_json=as_json, table=tabulate(str(out_folder), ("field", "value"), rows))


def _check_export(facts: Mapping[str, Any], folder: Path, chosen: AnApplication) -> None:
    """See that what is done is there, and write model.onnx anew where it is gone or another's.

    Raises ValueError where model.pt is gone, or gives another file than it did.
    """
    from overread_learn.nets import from_bytes  # noqa: PLC0415 - torch

    network, file = folder / "model.pt", folder / "model.onnx"
    if not network.exists():
        raise ValueError(f"{network} is gone: remove {folder / 'finetune.json'} to train again, or name another --out")
    if facts.get("weights_sha256", digest_of(network)) != digest_of(network):  # an older version did not say
        raise ValueError(f"{network} is not what was trained here: put that back, or name another --out")
    if file.exists() and digest_of(file) == facts["sha256"]:
        return
    anew = folder / "anew.onnx"
    made = _export(from_bytes(network.read_bytes(), str(network)), chosen, anew)
    if made != facts["sha256"]:
        anew.unlink()
        raise ValueError(
            f"{network} gives {made[:12]} for {facts['sha256'][:12]}: it is not what was trained here, or another "
            "version of torch writes it; `overread-learn export` does so all the same"
        )
    anew.replace(file)
    warn(f"{file} was gone, or another's, and is written anew")


def _check_parent(model: "Classifier", parent: Path | None, chosen: AnApplication, *, other: bool) -> None:
    """Refuse to go on from a network of other classes or, unless that is wished, of another application."""
    from overread_learn.nets import application_of  # noqa: PLC0415 - torch

    if model.classes != len(chosen.classes):
        raise ValueError(f"{parent} has {model.classes} classes, application {chosen.name} {len(chosen.classes)}")
    own = application_of(parent.read_bytes(), str(parent)) if parent else None
    if own is not None and own != chosen and not other:
        raise ValueError(
            f"{parent} learnt {own.name}, and {chosen.name} cuts its patches in another way "
            f"({_differences(own, chosen)}): name its own application, or add --other-application"
        )


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
    as_json: Json = False,
) -> None:
    """Write a network as ONNX, with all that scoring needs inside the file; it prints the file's SHA-256.

    A model.pt knows the application that it learnt: patches cut in another way would only be scored worse, so another
    one is refused unless `--other-application` stands beside it.

    Example: `overread-learn export build/model/model.pt model.onnx`
    """
    from overread_learn.finetune import cooled  # noqa: PLC0415 - `--help` does not wait for torch
    from overread_learn.nets import application_of, from_bytes, temperature_of  # noqa: PLC0415

    content = model.read_bytes()
    network, own = from_bytes(content, str(model)), application_of(content, str(model))
    network = cooled(network, temperature_of(content, str(model)))  # as it serves
    chosen = own if application is None else load(application)
    if chosen is None:
        raise ValueError(f"{model} is of a version that did not keep its application: name it by --application")
    if own is not None and chosen != own and not other:
        raise ValueError(
            f"{model} learnt {own.name}, and {application} cuts its patches in another way ({_differences(own, chosen)}"
            "): leave --application out, or add --other-application"
        )
    if file.is_dir() or not file.parent.is_dir():
        raise ValueError(f"{file} is a folder" if file.is_dir() else f"{file.parent}: there is no such folder")
    digest = _export(network, chosen, file)
    if as_json:
        show({"file": str(file), "sha256": digest, "application": chosen.name, "arch": network.arch}, as_json=True)
    else:
        typer.echo(digest)


def _differences(own: AnApplication, other: AnApplication) -> str:
    """Name the keys in which two applications differ, of those that tell whether a model belongs to one."""
    keys = (one.name for one in fields(own) if one.compare)
    return ", ".join(key for key in keys if getattr(own, key) != getattr(other, key))


def _export(model: "Classifier", application: AnApplication, file: Path) -> str:
    from overread_learn.export import export as write_onnx  # noqa: PLC0415 - torch

    return write_onnx(model, application, file, extra={})
