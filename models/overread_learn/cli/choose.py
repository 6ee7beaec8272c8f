"""`overread-learn select` and `explain`: whose answer teaches most, and why."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from overread_learn.acquisition import AUTO, GRAMMAR, STRATEGIES, Pool
from overread_learn.acquisition import select as choose
from overread_learn.acquisition.explain import explain as why
from overread_learn.cli.app import Json, app
from overread_learn.printing import out, show, tabulate

Model = Annotated[
    Path | None,
    typer.Option(help="An exported ONNX file that scores --candidates.", metavar="FILE", show_default=False),
]
Source = Annotated[
    Path,
    typer.Option(
        help="A pool's logits (.arrow or .parquet), or, with --model, a folder with candidates.csv and images/.",
        metavar="FILE|DIR",
    ),
]
StrategyName = Annotated[str, typer.Option(help="A name, or what `overread-learn strategies` says of the grammar.")]


@app.command()
def strategies(*, as_json: Json = False) -> None:
    """List the strategies, and the grammar by which more are named."""
    rows = [{"name": name, "what": what} for name, what in STRATEGIES.items()]
    show(
        {"strategies": dict(STRATEGIES), "grammar": GRAMMAR},
        as_json=as_json,
        table=tabulate("strategies", ("name", "what"), rows),
    )
    if not as_json:
        out.print(GRAMMAR, markup=False, highlight=False, soft_wrap=True)


@app.command()
def select(
    *,
    pool: Source,
    model: Model = None,
    strategy: StrategyName = AUTO,
    budget: Annotated[int, typer.Option(min=1, help="How many to ask for.")] = 50,
    labelled: Annotated[
        str, typer.Option(help="Answers so far of each class, such as 120,30; cold starts end with them.")
    ] = "",
    seed: int = 0,
    patches: Annotated[
        int | None, typer.Option(min=1, help="The application's nominal m; the commonest if left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Choose candidates to read next, best first.

    Example: `overread-learn select --pool pool.parquet --strategy auto --budget 50 --labelled 120,30 --json`
    """
    opened = _pool(pool, model, labelled)
    sizes = np.diff(opened.offsets)
    picks = choose(opened, strategy, budget, seed=seed, k_ref_m=patches or int(np.bincount(sizes).argmax()))
    rows = [asdict(pick) for pick in picks]
    columns = ("rank", "id", "score", "entropy", "diversity", "majority", "dominant", "propensity")
    show(rows, as_json=as_json, table=tabulate(f"{strategy}: {len(rows)} of {len(opened)}", columns, rows))


@app.command()
def explain(
    candidate: Annotated[list[str], typer.Argument(help="Candidates' ids.")],
    *,
    pool: Source,
    model: Model = None,
    strategy: StrategyName = AUTO,
    as_json: Json = False,
) -> None:
    """Say which terms, and which patches, put a candidate where it stands.

    Example: `overread-learn explain c17 c23 --pool pool.parquet --strategy sum@.25`
    """
    opened = _pool(pool, model, "")
    place = {name: index for index, name in enumerate(opened.ids)}
    unknown = [name for name in candidate if name not in place]
    if unknown:
        raise ValueError(f"{pool} has no candidate {', '.join(unknown)}")
    found = {name: why(opened.of_candidate(place[name]), strategy) for name in candidate}
    if as_json:
        show({name: asdict(one) for name, one in found.items()}, as_json=True)
        return
    for name, one in found.items():
        out.print(f"{name}: {one.sentence}", markup=False)
        rows = [{"patch": number, **asdict(patch)} for number, patch in enumerate(one.patches)]
        for row in rows:
            row["probabilities"] = " ".join(f"{p:.3f}" for p in row["probabilities"])
        out.print(tabulate("", ("patch", "probabilities", "kept", "entropy", "diversity"), rows))


def _pool(source: Path, model: Path | None, labelled: str) -> Pool:
    from overread_learn.acquisition.arrow import open_pool  # noqa: PLC0415 - `--help` does not wait for pyarrow

    if model is None:
        opened = open_pool(source)
    else:
        from overread_learn.cli.scored import scored_pool  # noqa: PLC0415 - nor for ONNX Runtime

        opened = scored_pool(source, model)
    counts = {index: int(count) for index, count in enumerate(labelled.split(","))} if labelled else {}
    return Pool(opened.ids, opened.logits, opened.offsets, opened.embeddings, None, counts)
