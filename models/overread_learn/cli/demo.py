"""`overread-learn demo-set`: a synthetic candidate set to try everything on."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from overread_learn.cli.app import Json, app
from overread_learn.printing import err, out, show


@app.command("demo-set")
def demo_set(
    *,
    folder: Annotated[Path, typer.Option("--out", help="A new folder.", metavar="DIR")],
    patients: Annotated[int, typer.Option(min=8, help="One photograph each.")] = 60,
    prevalence: Annotated[float, typer.Option(min=0.01, max=0.5, help="Share of lesions among the candidates.")] = 0.1,
    seed: Annotated[int, typer.Option(min=0, help="Fixes what is left to chance.")] = 0,
    as_json: Json = False,
) -> None:
    """Write synthetic fundus photographs with candidates and their labels.

    Example: `overread-learn demo-set --out set`, then
    `overread-learn labels --candidates set --out build/labels`
    """
    from overread_learn.experiment.demo_set import CANDIDATES  # noqa: PLC0415 - `--help` does not wait for OpenCV
    from overread_learn.experiment.demo_set import demo_set as write  # noqa: PLC0415

    with Progress(console=err) as progress:
        task = progress.add_task("photographs", total=patients)
        write(
            folder,
            patients=patients,
            seed=seed,
            prevalence=prevalence,
            on_image=lambda done, total: progress.update(task, completed=done, total=total),
        )
    if as_json:
        facts = {"folder": str(folder), "patients": patients, "candidates": CANDIDATES * patients}
        show({**facts, "prevalence": prevalence, "seed": seed}, as_json=True)
        return
    following = f"overread-learn labels --candidates {folder} --out build/labels"
    out.print(f"{folder} is a candidate set; try: {following}", markup=False, soft_wrap=True)
