"""`overread-learn depth`: how much of a network for how much data?"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from overread_learn.applications import load
from overread_learn.cli.app import Application, Arch, Candidates, Json, app, numbers, weights_file
from overread_learn.cli.gathered import bars, gathered
from overread_learn.experiment.processes import cores
from overread_learn.printing import say, show, tabulate

if TYPE_CHECKING:
    from overread_learn.experiment.depth_table import DepthTable
    from overread_learn.experiment.depths import DepthStudy


@app.command()
def depth(
    *,
    candidates: Candidates,
    application: Application = "fundus-microaneurysm",
    arch: Arch = "squeezenet1_1",
    weights: Annotated[
        str,
        typer.Option(
            help="A state_dict of that network, or `imagenet` for torchvision's own: a depth is of a pretrained one.",
            metavar="FILE|imagenet",
        ),
    ] = "imagenet",
    sizes: Annotated[str, typer.Option(help="Shares of the training set, in per cent.")] = "10,25,50,100",
    scratch: Annotated[bool, typer.Option("--scratch", help="Train from random weights too.")] = False,
    depths: Annotated[str, typer.Option(help="Depths, counted in blocks from the head; all if left out.")] = "",
    seeds: Annotated[int, typer.Option(min=1)] = 3,
    most: Annotated[int, typer.Option(min=10, help="Candidates of the whole training set that are used.")] = 1000,
    epochs: Annotated[int | None, typer.Option(min=1, help="The application's if left out.")] = None,
    validation_patches: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Patches of the (300 at most) validation candidates together, which are scored after each epoch; 4096 "
            "at most if left out.",
        ),
    ] = None,
    out_folder: Annotated[Path, typer.Option("--out", help="Where depth.json goes.", metavar="DIR")],
    raw: Annotated[
        Path | None, typer.Option(help="Where the findings stand; DIR/depth.json if left out.", metavar="FILE")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the findings that are there.")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; one a core if left out. Seconds are of one of them.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Fine-tune every depth on growing shares of the training set, and judge each on the test patients.

    Of each share it says which depth is enough: the shallowest whose AUC on the validation patients is within one
    standard error of the best one's, of each seed its own. Take it for `finetune --depth`.

    Each finding is kept the moment it ends: a study that is broken off goes on with `--resume`, which also adds shares,
    depths and seeds to one that is done. As seconds are among what is found, a study stays with its number of workers.

    Example: `overread-learn depth --candidates set --weights squeezenet1_1.pth --sizes 10,100 --scratch --out
    build/depth`
    """
    from overread_learn.depth import Network  # noqa: PLC0415 - `--help` does not wait for torch
    from overread_learn.experiment.depth_table import DepthTable  # noqa: PLC0415
    from overread_learn.experiment.depths import VALIDATION_PATCHES, DepthStudy  # noqa: PLC0415
    from overread_learn.finetune import recipe  # noqa: PLC0415
    from overread_learn.nets import build, check_input  # noqa: PLC0415

    chosen = load(application)
    check_input(arch, len(chosen.classes), chosen.input_px)
    file = weights_file(arch, weights)
    if file is None:
        raise ValueError("--weights none: a depth is of a pretrained network; --scratch adds the random one")
    build(arch, len(chosen.classes), file, seed=0)  # raises what is wrong with the weights, before images are read
    shares, only = numbers(sizes, "--sizes"), numbers(depths, "--depths") if depths else None
    study = DepthStudy(
        Network(
            arch,
            len(chosen.classes),
            file,
            recipe(chosen, seed=0, epochs=epochs),
            recipe(chosen, seed=0, epochs=epochs, random_start=True) if scratch else None,
        ),
        chosen,
        out_folder / "material",
        raw or out_folder / "depth.json",
        shares,
        range(seeds),
        only,
        most,
        workers or cores(),
        validation_patches or VALIDATION_PATCHES,
    )
    study.wished()  # raises what is wrong with the shares, before the images are looked at
    gathered(candidates, chosen, out_folder / "material", held_out=2)
    if study.read() and not resume:
        raise ValueError(f"{study.file} holds findings: go on with --resume, or name another --out")
    _run(study)
    facts = json.loads(study.file.read_text(encoding="utf-8"))
    table = DepthTable(facts)
    enough = {share: table.rule(share) for share in table.shares}
    plain = [{**row, "chosen": enough[row["share"]].get(row["seed"]) == row["depth"]} for row in facts["findings"]]
    show(plain, as_json=as_json, table=_lines(table))
    if not as_json:
        for share, taken in enough.items():
            for depth in sorted(set(taken.values())):
                seeds_of_it = ", ".join(str(seed) for seed, at in taken.items() if at == depth)
                blocks = table.cell(share, depth).blocks
                say(f"{share} %: enough is depth {depth}, {blocks} (seeds {seeds_of_it})")
        say(f"{study.file} holds {len(plain)} findings")


def _run(study: "DepthStudy") -> None:
    with bars() as progress:
        task = progress.add_task("findings", total=len(study.wished()))
        for row in study.run():
            said = f"{row['share']} %, {row['blocks']}, AUC {row['auc']:.3f}"
            progress.update(task, advance=1, description=said)


def _lines(table: "DepthTable") -> Any:
    """Return a row each share and depth, of all findings of the file: means over the seeds."""
    cells = [table.cell(share, at) for share in table.shares for at in table.depths if (share, at) in table]
    rows = [
        {
            "labels": cell.labels,
            "trained": cell.blocks,
            "auc": f"{cell.auc.value:.3f}",
            "95_%": cell.auc.within,
            "seconds": cell.seconds,
            "core_seconds": cell.core_seconds,
            "seeds": len(cell.seeds),
        }
        for cell in cells
    ]
    return tabulate("depth", tuple(rows[0]), rows)
