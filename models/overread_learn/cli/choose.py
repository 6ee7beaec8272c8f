"""`overread-learn select` and `explain`: whose answer teaches most, and why."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from overread_learn.acquisition import AUTO, GRAMMAR, STRATEGIES, Pool
from overread_learn.acquisition import select as choose
from overread_learn.acquisition.explain import explain_picks as why
from overread_learn.acquisition.strategy import strategy as by_name
from overread_learn.cli.app import Json, app, numbers
from overread_learn.printing import lay, out, show, tabulate

Model = Annotated[
    Path | None,
    typer.Option(help="An exported ONNX file that scores the folder of --pool.", metavar="FILE", show_default=False),
]
Source = Annotated[
    Path,
    typer.Option(
        help="A pool's logits (.arrow or .parquet), or, with --model, a folder with candidates.csv and images/, "
        "of which those without a label are the pool, all but the test patients'; where all have one, all are.",
        metavar="FILE|DIR",
    ),
]
StrategyName = Annotated[str, typer.Option(help="A name, or what `overread-learn strategies` says of the grammar.")]
Budget = Annotated[int, typer.Option(min=1, help="How many to ask for.")]
Labelled = Annotated[
    str,
    typer.Option(
        help="Answers so far of each class, such as 120,30; cold starts end with them. Left out: those of the folder's "
        "labels, or none."
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Fixes what is left to chance.")]
Patches = Annotated[int | None, typer.Option(min=1, help="The application's nominal m; the commonest if left out.")]


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
    budget: Budget = 50,
    labelled: Labelled = "",
    seed: Seed = 0,
    patches: Patches = None,
    as_json: Json = False,
) -> None:
    """Choose candidates to read next, best first.

    Example: `overread-learn select --pool pool.parquet --strategy auto --budget 50 --labelled 120,30 --json`
    """
    opened = _pool(pool, model, strategy, labelled)
    picks = choose(opened, strategy, budget, seed=seed, k_ref_m=patches or _commonest(opened))
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
    budget: Budget = 50,
    labelled: Labelled = "",
    seed: Seed = 0,
    patches: Patches = None,
    as_json: Json = False,
) -> None:
    """Say which terms, and which patches, put a candidate where it stands; the options are those of `select`.

    It is explained as who chooses now sees it: until every class has a label that is a strategy's cold start.

    Example: `overread-learn explain c17 c23 --pool pool.parquet --strategy sum@.25 --labelled 120,30`
    """
    opened = _pool(pool, model, strategy, labelled)
    known = set(opened.ids)
    unknown = [name for name in candidate if name not in known]
    if unknown:
        raise ValueError(f"{pool} has no candidate {', '.join(unknown)} among the {len(opened)} to choose from")
    found = why(opened, candidate, strategy, budget, seed=seed, k_ref_m=patches or _commonest(opened))
    if as_json:
        show({name: asdict(one) for name, one in found.items()}, as_json=True)
        return
    for name, one in found.items():
        out.print(f"{name}: {one.sentence}", markup=False, highlight=False, soft_wrap=True)
        rows = [{"patch": number, **asdict(patch)} for number, patch in enumerate(one.patches)]
        for row in rows:
            row["probabilities"] = " ".join(f"{p:.3f}" for p in row["probabilities"])
        lay(tabulate("", ("patch", "probabilities", "kept", "entropy", "diversity"), rows))


def _commonest(pool: Pool) -> int:
    """Return how many patches most candidates have."""
    return int(np.bincount(np.diff(pool.offsets)).argmax())


def _pool(source: Path, model: Path | None, strategy: str, labelled: str) -> Pool:
    """Open or score a pool, with the counts that ``--labelled`` gives; the words are looked at first."""
    by_name(strategy)
    counts = dict(enumerate(numbers(labelled, "--labelled"))) if labelled else None
    if counts and min(counts.values()) < 0:
        raise ValueError(f"--labelled: {labelled!r} counts less than nothing")

    def fits(classes: int) -> None:
        if counts and len(counts) > classes:
            raise ValueError(f"--labelled: {labelled!r} counts {len(counts)} classes, and there are {classes}")

    if model is None:
        if source.is_dir():
            raise ValueError(f"--pool {source} is a folder: give --model too, an ONNX file that scores its candidates")
        from overread_learn.acquisition.arrow import open_pool  # noqa: PLC0415 - `--help` does not wait for pyarrow

        pool = open_pool(source, counts=counts)
        fits(pool.logits.shape[1])
        return pool
    if source.is_file():
        raise ValueError(f"--pool {source} holds logits already: leave --model out, or give a folder of candidates")
    from overread_learn.cli.scored import scored_pool  # noqa: PLC0415 - nor for ONNX Runtime
    from overread_learn.scoring import Scorer  # noqa: PLC0415

    scorer = Scorer(model)
    fits(len(scorer.application.classes))
    return scored_pool(source, scorer, strategy, counts)
