"""`overread-learn select` and `explain`: whose answer teaches most, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from overread_learn.acquisition import AUTO, GRAMMAR, STRATEGIES, Pool
from overread_learn.acquisition import select as choose
from overread_learn.acquisition.bounds import fault
from overread_learn.acquisition.explain import explain_picks as why
from overread_learn.acquisition.representatives import LOOK_AT_LABELLED
from overread_learn.acquisition.select import spend
from overread_learn.acquisition.strategy import strategy as by_name
from overread_learn.cli.app import Json, app, numbers
from overread_learn.printing import lay, out, show, tabulate, warn

NPY = b"\x93NUMPY"
"""How NumPy's files begin."""

Model = Annotated[
    Path | None,
    typer.Option(help="An exported ONNX file that scores the folder of --pool.", metavar="FILE", show_default=False),
]
Source = Annotated[
    Path,
    typer.Option(
        help="A pool's logits (.arrow or .parquet), or, with --model, a folder with candidates.csv and images/, "
        "of which the train patients' without a label are the pool; where all of those have one, all are.",
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
LabelledEmbeddings = Annotated[
    Path | None,
    typer.Option(
        help="Embeddings of what is labelled, from which coreset and typiclust keep away: a pool's file of these "
        "candidates, or a .npy array, (candidates, features). With --model those of the folder's labels are taken.",
        metavar="FILE",
        show_default=False,
    ),
]
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Fixes what is left to chance.")]
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
    labelled_embeddings: LabelledEmbeddings = None,
    seed: Seed = 0,
    patches: Patches = None,
    reference: Reference = False,
    as_json: Json = False,
) -> None:
    """Choose candidates to read next, best first.

    Example: `overread-learn select --pool pool.parquet --strategy auto --budget 50 --labelled 120,30 --json`
    """
    opened, _ = _pool(pool, model, strategy, labelled, labelled_embeddings)
    nominal = patches or _commonest(opened)
    spent = spend(opened, strategy, budget, seed=seed, k_ref_m=nominal, reference=reference)
    rows: list[dict[str, Any]] = [{"strategy": spent.chosen.name, **asdict(pick)} for pick in spent.picks]
    cold = spent.chosen != by_name(strategy)
    if cold:
        warn(f"{strategy} goes by {spent.chosen.name} until each class has a label; --labelled says how many each has.")
    columns: tuple[str, ...] = ("rank", "id", "score", "entropy", "diversity", "majority", "dominant", "propensity")
    title = f"{strategy}{f', by {spent.chosen.name}' if cold else ''}: {len(rows)} of {len(opened)}"
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
    labelled_embeddings: LabelledEmbeddings = None,
    seed: Seed = 0,
    patches: Patches = None,
    reference: Reference = False,
    as_json: Json = False,
) -> None:
    """Say which terms, and which patches, put a candidate where it stands; the options are those of `select`.

    It is explained as who chooses now sees it: until every class has a label that is a strategy's cold start.

    Example: `overread-learn explain c17 c23 --pool pool.parquet --strategy sum@.25 --labelled 120,30`
    """
    opened, classes = _pool(pool, model, strategy, labelled, labelled_embeddings)
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


def _pool(
    source: Path, model: Path | None, strategy: str, labelled: str, embeddings: Path | None
) -> tuple[Pool, Sequence[str]]:
    """Open or score a pool, with what ``--labelled`` and ``--labelled-embeddings`` give; the words are looked at first.

    The classes' names come with it, where a model says them.
    """
    chosen = by_name(strategy)
    counts = dict(enumerate(numbers(labelled, "--labelled"))) if labelled else None
    if counts and min(counts.values()) < 0:
        raise ValueError(f"--labelled: {labelled!r} counts less than nothing")

    def fits(classes: int) -> None:
        if counts and len(counts) > classes:
            raise ValueError(f"--labelled: {labelled!r} counts {len(counts)} classes, and there are {classes}")

    if model is None:
        if source.is_dir():
            raise ValueError(f"--pool {source} is a folder: give --model too, an ONNX file that scores its candidates")
        pool = _opened(source, counts, embeddings)
        fits(pool.logits.shape[1])
        now = chosen.now(pool.counts, pool.logits.shape[1])
        if now.draw in LOOK_AT_LABELLED and pool.labelled is None and any(pool.counts.values()):
            warn(
                f"{now.name} keeps away from what is labelled, and nobody says where that is: it chooses as if nothing "
                "were. Give --labelled-embeddings."
            )
        return pool, ()
    if source.is_file():
        raise ValueError(f"--pool {source} holds logits already: leave --model out, or give a folder of candidates")
    if embeddings is not None:
        raise ValueError("--labelled-embeddings is for a --pool FILE: with --model those of the folder's labels count")
    from overread_learn.cli.scored import scored_pool  # noqa: PLC0415 - `--help` does not wait for ONNX Runtime
    from overread_learn.scoring import Scorer  # noqa: PLC0415

    scorer = Scorer(model)
    fits(len(scorer.application.classes))
    return scored_pool(source, scorer, strategy, counts), scorer.application.classes


def _opened(source: Path, counts: Mapping[int, int] | None, embeddings: Path | None) -> Pool:
    """Open a pool's file, with the embeddings of what is labelled from another one."""
    from overread_learn.acquisition.arrow import open_pool  # noqa: PLC0415 - `--help` does not wait for pyarrow

    if embeddings is None:
        return open_pool(source, counts=counts)
    ids, found = _answered(embeddings)
    pool = open_pool(source, labelled=found, counts=counts)
    both = sorted(set(ids).intersection(pool.ids))
    if both:
        raise ValueError(
            f"--labelled-embeddings: {len(both)} of {embeddings} stand in {source}, to be chosen from; the first is "
            f"{both[0]}"
        )
    return pool


def _answered(file: Path) -> tuple[Sequence[str], NDArray[np.floating]]:
    """Read embeddings of what is labelled, (l, d), and whose they are, where the file says so."""
    from overread_learn.acquisition.arrow import open_pool  # noqa: PLC0415 - as above

    with file.open("rb") as opened:
        plain = opened.read(len(NPY)) == NPY
    ids: Sequence[str] = ()
    found: NDArray[Any] | None
    if plain:
        try:
            found = np.load(file, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise ValueError(f"--labelled-embeddings: {file}: {error}") from error
    else:
        pool = open_pool(file)
        ids, found = pool.ids, pool.embeddings
    if found is None or found.ndim != 2 or not len(found) or not np.issubdtype(found.dtype, np.floating):
        has = "no column embedding" if found is None else f"{found.dtype}, {found.shape}"
        raise ValueError(f"--labelled-embeddings: {file} has {has}; needed are floats, (candidates, features)")
    if fault(found):
        row = next(row for row in range(len(found)) if fault(found[row]))
        raise ValueError(f"--labelled-embeddings: {file}: that of {ids[row] if ids else row} is {fault(found[row])}")
    return ids, found
