"""`overread-learn finetune`, `depth` and `export`: from labels to a network."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress

from overread_learn.applications import load
from overread_learn.cli.app import Application, Arch, Candidates, Json, Weights, app, digest_of, numbers, weights_file
from overread_learn.experiment.candidate_set import read
from overread_learn.experiment.comparison import commit, write
from overread_learn.experiment.material import Material, gather
from overread_learn.files import write_whole
from overread_learn.printing import err, show, tabulate

if TYPE_CHECKING:
    from overread_learn.depth.study import Finding
    from overread_learn.finetune import Recipe
    from overread_learn.nets import Classifier


@app.command()
def finetune(
    *,
    candidates: Candidates,
    application: Application = "fundus-microaneurysm",
    arch: Arch = "squeezenet1_1",
    weights: Weights = "imagenet",
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
    from overread_learn.finetune import EpochReport  # noqa: PLC0415 - `--help` does not wait for torch
    from overread_learn.finetune import finetune as learn  # noqa: PLC0415
    from overread_learn.nets import build, from_bytes, to_bytes  # noqa: PLC0415

    chosen = load(application)
    material = _material(candidates, application, out_folder)
    model = (
        from_bytes(parent.read_bytes())
        if parent
        else build(arch, len(chosen.classes), weights_file(arch, weights), seed)
    )
    checkpoint = out_folder / "checkpoint.pt"
    if checkpoint.exists() and not resume:
        raise ValueError(f"{checkpoint} is there: go on with --resume, or name another --out")
    train, validation = _sides(material)
    recipe = _recipe(material, epochs, seed, random_start=weights == "none" and parent is None)
    with Progress(console=err) as progress:
        task = progress.add_task("epochs", total=recipe.epochs)

        def on_epoch(report: EpochReport) -> None:
            progress.update(task, completed=report.epoch, description=f"epoch {report.epoch}, AUC {report.auc:.3f}")

        fitted = learn(model, train, validation, recipe, on_epoch, checkpoint=checkpoint)
    write_whole(out_folder / "model.pt", to_bytes(fitted.model))
    sha256 = _export(fitted.model, application, out_folder / "model.onnx")
    facts = {
        "auc_validation": fitted.auc_validation,
        "best_epoch": fitted.best_epoch,
        "labels": len(train),
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
    application: Application = "fundus-microaneurysm",
) -> None:
    """Write a network as ONNX, with all that scoring needs inside the file; it prints the file's SHA-256.

    Example: `overread-learn export build/model/model.pt model.onnx --application fundus-microaneurysm`
    """
    from overread_learn.nets import from_bytes  # noqa: PLC0415 - `--help` does not wait for torch

    typer.echo(_export(from_bytes(model.read_bytes()), application, file))


@app.command()
def depth(
    *,
    candidates: Candidates,
    application: Application = "fundus-microaneurysm",
    arch: Arch = "squeezenet1_1",
    weights: Weights = "imagenet",
    sizes: Annotated[str, typer.Option(help="Shares of the training set, in per cent.")] = "10,25,50,100",
    scratch: Annotated[bool, typer.Option("--scratch", help="Train from random weights too.")] = False,
    depths: Annotated[str, typer.Option(help="Depths, counted in blocks from the head; all if left out.")] = "",
    seeds: Annotated[int, typer.Option(min=1)] = 3,
    most: Annotated[int, typer.Option(min=10, help="Candidates of the whole training set that are used.")] = 1000,
    epochs: Annotated[int | None, typer.Option(min=1, help="The application's if left out.")] = None,
    out_folder: Annotated[Path, typer.Option("--out", help="Where depth.json goes.", metavar="DIR")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the findings that are there.")] = False,
    as_json: Json = False,
) -> None:
    """How much of the network for how much data? Every depth over shares of the training set.

    Each finding is kept the moment it is made. Example: `overread-learn depth --candidates set --weights
    squeezenet1_1.pth --sizes 10,100 --scratch --out build/depth`
    """
    from overread_learn.depth.study import Network, study  # noqa: PLC0415 - `--help` does not wait for torch

    file = weights_file(arch, weights)
    if file is None:
        raise ValueError("--weights none: a depth is of a pretrained network; --scratch adds the random one")
    material = _material(candidates, application, out_folder)
    network = Network(
        arch,
        len(material.application.classes),
        file,
        _recipe(material, epochs, 0, random_start=False),
        _recipe(material, epochs, 0, random_start=True) if scratch else None,
    )
    shares, only = numbers(sizes, "--sizes"), numbers(depths, "--depths") if depths else None
    kept = out_folder / "depth.json"
    setting: dict[str, Any] = {"arch": arch, "weights": digest_of(file), "material": material.digest}
    setting |= {"epochs": network.recipe.epochs, "most": most}
    found: list[dict[str, Any]] = []
    if kept.exists():
        table = json.loads(kept.read_text(encoding="utf-8"))
        if not resume or table["setting"] != setting:
            raise ValueError(f"{kept} holds findings: go on with --resume under the same rules, or name another --out")
        found = table["findings"]
    done = {(row["share"], row["depth"], row["seed"]) for row in found}
    with Progress(console=err) as progress:
        task = progress.add_task("findings", total=None)
        for finding in study(
            network, _cohort(material), sizes=shares, seeds=range(seeds), depths=only, most=most, done=done
        ):
            found.append(_row(finding))
            write(kept, {"setting": setting, "commit": commit(), "findings": found})
            progress.update(task, advance=1, description=f"{finding.share} %, {finding.blocks}, AUC {finding.auc:.3f}")
    show(found, as_json=as_json, table=_table(found))


def _row(finding: "Finding") -> dict[str, Any]:
    return {**finding._asdict(), "interval": list(finding.interval)}


def _table(found: list[dict[str, Any]]) -> Any:
    """Mean over the seeds, a row each share and depth."""
    groups: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for row in found:
        groups.setdefault((row["share"], str(row["depth"])), []).append(row)
    rows = [
        {
            "share": share,
            "depth": at,
            "blocks": group[0]["blocks"],
            "labels": group[0]["labels"],
            "auc": sum(row["auc"] for row in group) / len(group),
            "seconds": sum(row["seconds"] for row in group) / len(group),
            "seeds": len(group),
        }
        for (share, at), group in groups.items()
    ]
    return tabulate("depth", ("share", "depth", "blocks", "labels", "auc", "seconds", "seeds"), rows)


def _material(candidates: Path, application: str, folder: Path) -> Material:
    folder.mkdir(parents=True, exist_ok=True)
    found = read(candidates)
    with Progress(console=err, transient=True) as progress:
        task = progress.add_task("images", total=len(found.images))
        return gather(
            found,
            load(application),
            folder / "material",
            lambda done, total: progress.update(task, completed=done, total=total),
        )


def _recipe(material: Material, epochs: int | None, seed: int, *, random_start: bool) -> "Recipe":
    from overread_learn.finetune import recipe  # noqa: PLC0415 - torch

    return recipe(material.application, seed=seed, random_start=random_start, epochs=epochs)


def _sides(material: Material) -> Any:
    """Return the train patients' samples, and the validation patients' patches and labels."""
    from overread_learn.experiment.material import Subset  # noqa: PLC0415

    places = range(len(material))
    train = [index for index in places if not material.test[index] and not material.validation[index]]
    held_out = [index for index in places if material.validation[index]]
    return Subset(material, train), ([material.patches(index) for index in held_out], material.labels[held_out])


def _cohort(material: Material) -> Any:
    from overread_learn.depth.held import Held  # noqa: PLC0415 - torch
    from overread_learn.depth.study import Cohort  # noqa: PLC0415

    train, (patches, labels) = _sides(material)
    places = range(len(material))
    held_out = [index for index in places if material.validation[index]]
    test = [index for index in places if material.test[index]]
    learning = [index for index in places if not material.test[index] and not material.validation[index]]
    return Cohort(
        train,
        [material.patients[index] for index in learning],
        Held(patches, labels, [material.patients[index] for index in held_out]),
        Held(
            [material.patches(index) for index in test],
            material.labels[test],
            [material.patients[index] for index in test],
        ),
    )


def _export(model: "Classifier", application: str, file: Path) -> str:
    from overread_learn.export import export as write_onnx  # noqa: PLC0415 - torch

    return write_onnx(model, load(application), file, extra={})
