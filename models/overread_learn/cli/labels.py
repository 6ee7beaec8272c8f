"""`overread-learn labels`: how many labels does each strategy save, on these candidates?"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from overread_learn.acquisition.aift import majority
from overread_learn.acquisition.strategy import strategy
from overread_learn.applications import load
from overread_learn.cli.app import Application, Arch, Candidates, Json, Weights, app, digest_of, numbers, weights_file
from overread_learn.cli.gathered import bars, gathered
from overread_learn.experiment.comparison import Comparison, write
from overread_learn.experiment.comparison import Progress as News
from overread_learn.experiment.material import Material
from overread_learn.experiment.oracle import MARKS
from overread_learn.experiment.processes import cores
from overread_learn.experiment.protocol import Protocol, pool_of
from overread_learn.printing import say, show, tabulate, warn

DEFAULT = "random,auto,margin"
"""With three seeds and 400 labels a first look that takes minutes; a result wants five seeds, and more of both."""


@app.command()
def labels(
    *,
    candidates: Candidates,
    application: Application = "fundus-microaneurysm",
    arch: Arch = "squeezenet1_1",
    weights: Weights = None,
    strategies: Annotated[
        str, typer.Option(help="Names, with commas between; `random` is what all are held against.")
    ] = DEFAULT,
    budgets: Annotated[str, typer.Option(help="New labels of each round.")] = "50,50,100,200",
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each strategy.")] = 3,
    prevalence: Annotated[
        float | None, typer.Option(help="Resample the pool, never the test set, to this share of positives.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Of each round; the application's if left out.")] = None,
    patches: Annotated[int, typer.Option(min=1, help="Scored of each candidate.")] = 6,
    training: Annotated[
        str, typer.Option(help="RFT(LQ), AFT(LQ), ACFT(Q), ACFT(LQ), ACFT(HQ) or rehearsal.")
    ] = "ACFT(LQ)",
    rates: Annotated[str, typer.Option(help="The application's `own`, or the `papers`' for each phase.")] = "own",
    head_only: Annotated[
        bool, typer.Option("--head-only", help="Train the last layer alone, on features computed once.")
    ] = False,
    label_noise: Annotated[float, typer.Option(help="Share of answers that come out wrong.")] = 0.0,
    out_folder: Annotated[Path, typer.Option("--out", help="Where labels.json and report.html go.", metavar="DIR")],
    raw: Annotated[
        Path | None, typer.Option(help="Where each run's JSON stands; DIR/raw if left out.", metavar="DIR")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the runs that are there.")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Runs at once, each on one core; as many as there are cores if left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare strategies on candidates whose labels are known, as if a reader were asked.

    Writes labels.json and report.html, and each run's JSON the moment it ends: a comparison that is broken off goes on
    with `--resume`, which also adds strategies and seeds to one that is done.

    Example: `overread-learn labels --candidates set --weights squeezenet1_1.pth --strategies random,auto --seeds 2
    --budgets 50,50,100 --out build/labels`
    """
    # Whatever can be wrong in the words is looked at before the images are, which take their time.
    from overread_learn.finetune.rates import check_rates  # noqa: PLC0415 - `--help` does not wait for torch
    from overread_learn.finetune.strategies import STRATEGIES  # noqa: PLC0415
    from overread_learn.nets import build, check_input  # noqa: PLC0415

    chosen = load(application)
    if training not in STRATEGIES:
        raise ValueError(f"--training: unknown {training!r}; known are {', '.join(STRATEGIES)}")
    names = _names(strategies)
    if not STRATEGIES[training].active:
        _check_at_random(names, training)
    check_rates(rates, chosen)
    check_input(arch, len(chosen.classes), chosen.input_px)
    _say_alone(names, min(patches, chosen.patches))
    file = weights_file(arch, weights)
    build(arch, len(chosen.classes), file, seed=0)  # raises what is wrong with the weights
    if raw and raw.exists() and not raw.is_dir():
        raise NotADirectoryError(f"--raw: {raw} is a file")
    comparison = Comparison(
        Protocol(
            application=chosen.to_json(),
            arch=arch,
            weights=digest_of(file),
            material="",
            budgets=tuple(numbers(budgets, "--budgets")),
            prevalence=prevalence,
            patches=min(patches, chosen.patches),
            epochs=epochs,
            training=training,
            rates=rates,
            depth=1 if head_only else None,
            label_noise=label_noise,
        ),
        out_folder / "material",
        file,
        raw or out_folder / "raw",
        names,
        range(seeds),
    )
    material = gathered(candidates, chosen, out_folder / "material")
    there = set(material.labels[~material.test].tolist())
    if missing := [name for label, name in enumerate(chosen.classes) if label not in there]:
        warn(
            f"No label of a train patient is {' or '.join(missing)}: what has a cold start (auto, margin, badge) goes "
            "by that in every round, for it ends when each class has a label."
        )
    for seed in range(seeds):  # raises what can't be, before a run begins
        pool_of(material.labels, material.test, prevalence, seed)
    found = replace(comparison.protocol, material=material.digest, images_sha256=material.images_sha256)
    comparison = replace(comparison, protocol=found)
    if comparison.read() and not resume:
        raise ValueError(f"{comparison.raw} holds runs already: go on with --resume, or name another --out")
    _run(comparison, workers or cores())
    facts = _finish(comparison, material, out_folder)
    if facts["summary"]:
        said: dict[str, Any] = facts["summary"]
        areas = ("alc", "alc_minus_random", "alc_log2", "alc_log2_minus_random")
        columns: tuple[str, ...] = ("strategy", "labels_to_reach", "ratio_to_random", *areas)
    else:
        said, columns = _without_random(facts), ("strategy", "seeds", "labels", "positives", "auc")
        warn("How many labels a strategy saves is told against random: add it, with --strategies random and --resume.")
    rows = [
        {"strategy": name, **{key: value for key, value in row.items() if not isinstance(value, list | tuple)}}
        for name, row in sorted(said.items(), key=lambda item: -item[1]["alc" if facts["summary"] else "auc"])
    ]
    show(said, as_json=as_json, table=tabulate("labels", columns, rows))
    if not as_json:
        say(f"{out_folder / 'labels.json'} and {out_folder / 'report.html'} are written")


def _without_random(facts: dict[str, Any]) -> dict[str, Any]:
    """Return what the runs say of a strategy alone: means over the seeds after the last labels."""
    found = {}
    for name, runs in facts["strategies"].items():
        last = [steps[-1] for steps in runs.values() if steps]
        means = {key: sum(step[key] for step in last) / len(last) for key in ("labels", "positives", "auc")}
        found[name] = {"seeds": len(last), **means}
    return found


def _names(text: str) -> Sequence[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if len(set(names)) < len(names) or not names:
        raise ValueError(f"--strategies: {text!r} names one twice, or none")
    return names


def _check_at_random(names: Sequence[str], training: str) -> None:
    """Raise ValueError on a strategy that picks, where the training is one of labels drawn at random."""
    picking = [name for name in names if name in MARKS or not strategy(name).at_random]
    if picking:
        raise ValueError(
            f"--training {training} learns from labels that are drawn at random, and {picking[0]} picks them; "
            "--strategies random goes with it, and AFT(LQ) learns in the same way from what is picked"
        )


def _say_alone(names: Sequence[str], patches: int) -> None:
    """Say of which strategies so few patches leave nothing of diversity: one patch has no pair."""
    known = [(name, strategy(name)) for name in names if name not in MARKS]
    alone = [name for name, one in known if one.diversity and majority(one.alpha, patches) == 1]
    if alone:
        warn(f"Of {patches} patches {', '.join(alone)} keeps one, which has no diversity: entropy decides (--patches).")


def _run(comparison: Comparison, workers: int) -> None:
    protocol, wished = comparison.protocol, len(comparison.seeds) * len(comparison.strategies)
    with bars() as progress:
        whole = progress.add_task("runs", total=wished)
        under_way: dict[tuple[str, int], Any] = {}

        def on_progress(news: News) -> None:
            key = (news.strategy, news.seed)
            if not news.strategy:
                under_way[key] = progress.add_task("features of all candidates", total=None)
                return
            if ("", 0) in under_way:
                progress.remove_task(under_way.pop(("", 0)))
            if news.done:
                progress.advance(whole)
                if key in under_way:
                    progress.remove_task(under_way.pop(key))
                return
            if key not in under_way:
                under_way[key] = progress.add_task(f"{news.strategy}, seed {news.seed}", total=sum(protocol.budgets))
            progress.update(under_way[key], completed=news.labels)

        for _ in comparison.run(workers, on_progress):
            pass


def _finish(comparison: Comparison, material: Material, folder: Path) -> dict[str, Any]:
    """Write labels.json and the report over all runs that are there, those of earlier calls among them."""
    # The report needs no torch, but its imports take a while that `--help` should not.
    from overread_learn.experiment.report import report  # noqa: PLC0415
    from overread_learn.experiment.results import results, summaries  # noqa: PLC0415

    runs = list(comparison.read().values())
    summary = summaries(runs, material)
    facts = results(runs, summary)
    write(folder / "labels.json", facts)
    report(runs, summary, material, comparison.protocol, folder / "report.html")
    kept: dict[str, Any] = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    return kept
