"""AIFT's arithmetic over a large pool: the closed form against the sum over pairs, and against merely copying it.

`python -m overread_learn.bench.arithmetic` takes some minutes, and about 1 GB of memory.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from overread_learn.acquisition.aift import measure, score
from overread_learn.acquisition.reference import reference
from overread_learn.bench.interleaved import interleaved, report
from overread_learn.experiment.comparison import write
from overread_learn.printing import out as console
from overread_learn.printing import tabulate

__all__ = ["bench"]

PATCHES, CLASSES = 24, 2
ALIKE = 1e-9
"""How far the two scores may differ, relatively: standard normal logits do not saturate."""


def bench(
    candidates: Annotated[int, typer.Option(min=1, help="How many, of 24 patches and 2 classes each.")] = 1_000_000,
    rounds: Annotated[int, typer.Option(min=1, help="How often each way is timed.")] = 5,
    out: Annotated[Path, typer.Option(help="Where the JSON goes.")] = Path("build/bench/arithmetic.json"),
) -> None:
    """Time ours, the papers' way and a copy of the logits; all patches count (alpha = 1), both weights are 1."""
    landing = np.empty((candidates, PATCHES, CLASSES), np.float32)
    scores: dict[str, NDArray[np.float64]] = {}

    def draw(number: int) -> NDArray[np.float32]:
        rng = np.random.default_rng(number + 1)
        # The warm-up needs no more than a few of the chunks in which all of it is worked on.
        count = candidates if number >= 0 else min(candidates, 20_000)
        return rng.standard_normal((count, PATCHES, CLASSES), np.float32)

    def ours(logits: NDArray[np.float32]) -> None:
        scores["ours"] = score(measure(logits, 1.0), PATCHES, 1, 1)

    def papers_way(logits: NDArray[np.float32]) -> None:
        scores["papers_way"] = reference(logits, 1.0, 1, 1)

    def copy(logits: NDArray[np.float32]) -> None:
        np.copyto(landing[: len(logits)], logits)

    copy(np.ones_like(landing))  # its pages exist before the clock runs
    seconds = interleaved(draw, {"ours": ours, "papers_way": papers_way, "copy": copy}, rounds)
    # Ours is the sum over k: two ways that disagreed could not be compared.
    worst = float(np.abs(scores["ours"] * PATCHES / scores["papers_way"] - 1).max())
    if worst > ALIKE:
        raise ValueError(f"the two ways differ by {worst:.1e} of the score: there is nothing to compare")
    setting = {"candidates": candidates, "patches": PATCHES, "classes": CLASSES, "alpha": 1.0, "rounds": rounds}
    found = report(seconds, "ours", {**setting, "largest_relative_difference": worst}, ["numpy", "overread"])
    out.parent.mkdir(parents=True, exist_ok=True)
    write(out, found)
    rows = [
        {"way": name, "seconds": found["seconds"][name], "time over ours": found["ratios"].get(name, 1.0)}
        for name in seconds
    ]
    console.print(tabulate(f"{candidates} x {PATCHES} x {CLASSES}, medians of {rounds}", tuple(rows[0]), rows))
    console.print(f"{out}", markup=False)


if __name__ == "__main__":
    typer.run(bench)
