"""`overread-learn select` and `explain`: whose answer teaches most, and why."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

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
Reference = Annotated[
    bool,
    typer.Option(
        "--reference",
        help="Rank by the papers' own arithmetic, to compare with ours: AIFT's measures only, raw sums over all pairs "
        "of patches, a small epsilon in the logarithm. What ours makes of each pick stands beside it.",
    ),
]


@app.command()
def strategies(*, as_json: Json = False) -> None:
    """List the strategies, and the grammar by which more are named.

    Example: `overread-learn strategies --json`
    """
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
    reference: Reference = False,
    as_json: Json = False,
) -> None:
    """Choose candidates to read next, best first.

    Example: `overread-learn select --pool pool.parquet --strategy auto --budget 50 --labelled 120,30 --json`
    """
    opened, _ = _pool(pool, model, strategy, labelled)
    nominal = patches or _commonest(opened)
    picks = choose(opened, strategy, budget, seed=seed, k_ref_m=nominal, reference=reference)
    rows = [asdict(pick) for pick in picks]
    columns: tuple[str, ...] = ("rank", "id", "score", "entropy", "diversity", "majority", "dominant", "propensity")
    title = f"{strategy}: {len(rows)} of {len(opened)}"
    if reference:
        ours = {pick.id: pick.rank for pick in choose(opened, strategy, budget, seed=seed, k_ref_m=nominal)}
        rows = [{**row, "rank_of_ours": ours.get(row["id"])} for row in rows]
        same = sum(row["rank_of_ours"] is not None for row in rows)
        title += f", by the papers' arithmetic; ours picks {same} of them"
        columns += ("rank_of_ours",)
    shown: list[dict[str, Any]] = [{**row, **(row["grounds"] or {})} for row in rows]
    # What is no one's has no column.
    columns += tuple(dict.fromkeys(name for row in rows for name in row["grounds"] or ()))
    show(rows, as_json=as_json, table=tabulate(title, columns, shown))


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
    reference: Reference = False,
    as_json: Json = False,
) -> None:
    """Say which terms, and which patches, put a candidate where it stands; the options are those of `select`.

    It is explained as who chooses now sees it: until every class has a label that is a strategy's cold start.

    Example: `overread-learn explain c17 c23 --pool pool.parquet --strategy sum@.25 --labelled 120,30`
    """
    opened, classes = _pool(pool, model, strategy, labelled)
    known = set(opened.ids)
    unknown = [name for name in candidate if name not in known]
    if unknown:
        raise ValueError(f"{pool} has no candidate {', '.join(unknown)} among the {len(opened)} to choose from")
    nominal = patches or _commonest(opened)
    found = why(opened, candidate, strategy, budget, seed=seed, k_ref_m=nominal, reference=reference, classes=classes)
    if as_json:
        show({name: asdict(one) for name, one in found.items()}, as_json=True)
        return
    for name, one in found.items():
        out.print(f"{name}: {one.sentence}", markup=False, highlight=False, soft_wrap=True)
        rows = [{"patch": number, **asdict(patch)} for number, patch in enumerate(one.patches)]
        for row in rows:
            row["probabilities"] = " ".join(f"{p:.3f}" for p in row["probabilities"])
        pulls = ("gradient",) if any(row["gradient"] is not None for row in rows) else ()
        lay(tabulate("", ("patch", "probabilities", "kept", "entropy", "diversity", *pulls), rows))


def _commonest(pool: Pool) -> int:
    """Return how many patches most candidates have."""
    return int(np.bincount(np.diff(pool.offsets)).argmax())


def _pool(source: Path, model: Path | None, strategy: str, labelled: str) -> tuple[Pool, Sequence[str]]:
    """Open or score a pool, with the counts that ``--labelled`` gives; the words are looked at first.

    The classes' names come with it, where a model says them.
    """
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
        return pool, ()
    if source.is_file():
        raise ValueError(f"--pool {source} holds logits already: leave --model out, or give a folder of candidates")
    from overread_learn.cli.scored import scored_pool  # noqa: PLC0415 - nor for ONNX Runtime
    from overread_learn.scoring import Scorer  # noqa: PLC0415

    scorer = Scorer(model)
    fits(len(scorer.application.classes))
    return scored_pool(source, scorer, strategy, counts), scorer.application.classes
