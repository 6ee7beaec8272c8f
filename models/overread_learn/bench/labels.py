"""The tables of docs/results.md: strategies on six pools.

Run as `make bench-labels SHARED=../shared`, or `python -m overread_learn.bench.labels --shared DIR [--only NAME ...]`.
Runs that stand in docs/results/raw are read, missing ones are made (those of all layers are dear, so not every strategy
is on every pool), and the tables are written from what is there: also runs that were asked for by ``--strategies``, and
nothing that was not run.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from overread_learn.acquisition.strategy import AUTO, meaning
from overread_learn.bench.reference import candidates
from overread_learn.evaluate import alc

__all__ = ["POOLS", "Pool", "across", "table"]

PAPERS = ("random", "scratch", "entropy", "entropy@.25", "diversity", "diversity@.25", "sum", "sum@.25")
"""The eight methods of Zhou et al. (CVPR 2017), Table 2."""
MODERN = ("auto", "acft", "margin", "badge", "typiclust", "stratified", "oracle")
RIVALS = ("acft:badge", "acft:entropy@.25+badge2", "random:acft")
"""What `auto` was chosen from, beside those with a name."""
FURTHER = (
    "random:entropy@.25+badge",
    "random:sum@.25+badge2",
    "random:diversity@.25+badge2",
    "random:margin+badge2",
    "diversity@.25:entropy@.25+badge2",
    "typiclust:entropy@.25+badge2",
)
"""Other measures, cold starts, and how far the prefilter reaches."""
OTHERS = ("coreset", "patch-jsd", "margin^1", "rarest")
EVERY = (*PAPERS, *MODERN, *RIVALS, "least-confidence")
BEST = ("acft", "badge", "margin", "diversity@.25", "sum@.25", *RIVALS, "oracle")
ENOUGH = 5
"""Seeds, for a mean that is held against others'."""
BUDGETS = "50,50,100,200,400"


class Pool(NamedTuple):
    """One comparison: a set, at a prevalence, and who takes part with how many seeds.

    A pool may stand here several times, where some have more seeds; the last one's table has all runs, and `auto`.
    """

    name: str
    set: str
    strategies: Sequence[str]
    prevalence: float | None
    head_only: bool
    seeds: int
    """A run of the head alone takes seconds, one of all layers minutes."""


POOLS = (
    Pool("idrid-natural", "idrid_ma", (*PAPERS, *MODERN, *RIVALS), None, head_only=False, seeds=5),
    Pool("idrid-5", "idrid_ma", ("random", "auto", *BEST, FURTHER[0]), 0.05, head_only=False, seeds=5),
    Pool("idrid-1", "idrid_ma", ("random", *BEST, FURTHER[-1]), 0.01, head_only=False, seeds=5),
    Pool("idrid-1", "idrid_ma", ("random", "auto", "badge", "margin", "random:acft"), 0.01, head_only=False, seeds=10),
    Pool("chest-natural", "cxr_pneumonia", ("random", "foresight"), None, head_only=True, seeds=5),
    Pool("chest-natural", "cxr_pneumonia", (*EVERY, *OTHERS, *FURTHER), None, head_only=True, seeds=20),
    Pool("chest-5", "cxr_pneumonia", ("random", "foresight"), 0.05, head_only=True, seeds=5),
    Pool("chest-5", "cxr_pneumonia", EVERY, 0.05, head_only=True, seeds=20),
    Pool("chest-1", "cxr_pneumonia", ("random", "foresight"), 0.01, head_only=True, seeds=5),
    Pool("chest-1", "cxr_pneumonia", EVERY, 0.01, head_only=True, seeds=20),
)


def main() -> None:
    """Run what is missing, then write the tables."""
    reads = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reads.add_argument("--shared", type=Path, required=True, help="the reference data: data/ and weights/")
    names = list(dict.fromkeys(pool.name for pool in POOLS))
    reads.add_argument("--only", nargs="*", default=names, choices=names, help="names of pools", metavar="NAME")
    reads.add_argument("--strategies", help="instead of the pool's own")
    reads.add_argument("--seeds", type=int, help="instead of the pool's own number")
    reads.add_argument("--results", type=Path, default=Path("docs/results"))
    reads.add_argument("--out", type=Path, default=Path("build/labels"))
    asked = reads.parse_args()
    for pool in (pool for pool in POOLS if pool.name in asked.only):
        strategies = asked.strategies.split(",") if asked.strategies else pool.strategies
        _compare(pool, strategies, asked)
    (asked.results / "labels.md").write_text(_page(asked.results), encoding="utf-8")


def _compare(pool: Pool, strategies: Sequence[str], asked: argparse.Namespace) -> None:
    folder, application = candidates(asked.shared, pool.set, asked.out)
    words = ["labels", "--candidates", folder, "--application", application, "--arch", "squeezenet1_1"]
    words += ["--weights", asked.shared / "weights" / "squeezenet1_1.pth", "--budgets", BUDGETS]
    words += ["--strategies", ",".join(strategies), "--seeds", asked.seeds or pool.seeds, "--resume"]
    words += ["--out", asked.out / pool.name, "--raw", asked.results / "raw" / pool.name]
    words += ["--prevalence", pool.prevalence] if pool.prevalence else []
    words += ["--head-only"] if pool.head_only else []
    (asked.results / "raw" / pool.name).mkdir(parents=True, exist_ok=True)
    program = Path(sys.executable).parent / "overread-learn"
    subprocess.run([program, *map(str, words)], check=True)  # noqa: S603 - our own program
    found = (asked.out / pool.name / "labels.json").read_text(encoding="utf-8")
    (asked.results / f"{pool.name}.json").write_text(found, encoding="utf-8")


def _page(results: Path) -> str:
    files = {pool.name: results / f"{pool.name}.json" for pool in POOLS}
    found = {name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items() if file.exists()}
    stands = f"`auto` stands for `{meaning(AUTO)}`.\n"
    sections = [table(name, facts) for name, facts in found.items()]
    return "\n".join(["# Labels saved: every pool\n", stands, *([across(found)] if found else []), *sections])


def across(pools: Mapping[str, Mapping[str, Any]], enough: int = ENOUGH) -> str:
    """Return what strategies with ``enough`` seeds on every pool gained, the best mean first: over Random, over `auto`.

    Over `auto` with the standard error over the seeds that both have; pools are drawn apart, and so add up.
    """
    everywhere = set.intersection(*(_ran(facts, enough) for facts in pools.values()))
    gains = {name: [facts["summary"][name]["alc_minus_random"] for facts in pools.values()] for name in everywhere}
    order = sorted(sorted(gains), key=lambda name: -sum(gains[name]))  # equals, such as two names of one, by name
    over_random = [(name, [f"{gain:+.4f}" for gain in (*gains[name], statistics.mean(gains[name]))]) for name in order]
    over_auto = []
    for name in order if AUTO in everywhere else []:
        ahead = [_ahead(facts, name) for facts in pools.values()]
        mean = (statistics.mean(gain for gain, _ in ahead), math.hypot(*(error for _, error in ahead)) / len(ahead))
        over_auto.append((name, [f"{gain:+.4f} ± {error:.4f}" for gain, error in (*ahead, mean)]))
    lines = [
        *("## Across the pools", ""),
        f"ALC minus Random's, of the strategies that ran with {enough} seeds or more on every pool here.",
        *("", *_rows(pools, over_random), ""),
        "ALC minus that of `auto`, and its standard error over the seeds that both have; on the same patients.",
        *("", *_rows(pools, over_auto)),
    ]
    return "\n".join(lines) + "\n"


def _rows(pools: Iterable[str], rows: Iterable[tuple[str, Sequence[str]]]) -> Iterator[str]:
    names = ["strategy", *pools, "mean"]
    yield f"| {' | '.join(names)} |"
    yield "|---" * len(names) + "|"
    for name, cells in rows:
        yield f"| `{name}` | {' | '.join(cells)} |"


def _ahead(facts: Mapping[str, Any], name: str) -> tuple[float, float]:
    """Return a strategy's ALC minus that of `auto`, over the seeds that both have, and its standard error."""
    theirs, ours = facts["strategies"][name], facts["strategies"][AUTO]
    gains = [_alc(theirs[seed]) - _alc(ours[seed]) for seed in theirs if seed in ours]
    return statistics.mean(gains), statistics.stdev(gains) / math.sqrt(len(gains)) if len(gains) > 1 else math.nan


def _alc(steps: Sequence[Mapping[str, Any]]) -> float:
    return alc([step["labels"] for step in steps], [step["auc"] for step in steps])


def _ran(facts: Mapping[str, Any], enough: int) -> set[str]:
    return {name for name in facts["summary"] if len(facts["strategies"][name]) >= enough}


def table(name: str, facts: Mapping[str, Any]) -> str:
    """Return one pool's table in Markdown, the largest area under the curve first."""
    protocol, curves = facts["protocol"], facts["strategies"]
    at = " / ".join(str(step["labels"]) for step in next(iter(next(iter(curves.values())).values())))
    trained = "head alone" if protocol["depth"] else "all layers"
    made = f"commits {', '.join(facts['commits'])}; {facts['seconds'] / 60:.0f} minutes of one process"
    columns = ["strategy", "seeds", f"AUC at {at} labels", "positives", "labels to reach", "of Random's (95 %)", "ALC"]
    columns += ["minus Random's (95 %)"]
    lines = [f"## {name}", ""]
    lines += [f"Prevalence {protocol['prevalence'] or 'natural'}; {trained}; {protocol['arch']}; {made}.", ""]
    lines += [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for strategy, row in sorted(facts["summary"].items(), key=lambda item: -item[1]["alc"]):
        seeds = list(curves[strategy].values())
        steps = list(zip(*seeds, strict=True))
        aucs = " ".join(f"{sum(step['auc'] for step in same) / len(same):.3f}".removeprefix("0") for same in steps)
        positives = sum(step["positives"] for step in steps[-1]) / len(seeds)
        reach = "never" if row["labels_to_reach"] is None else f"{row['labels_to_reach']:.0f}"
        ratio = f"{_number(row['ratio_to_random'])} ({_within(row['ratio_interval'], _number)})"
        gain = f"{row['alc_minus_random']:+.4f} ({_within(row['alc_minus_random_interval'], '{:+.4f}'.format)})"
        cells = (f"`{strategy}`", str(len(seeds)), aucs, f"{positives:.0f}", reach, ratio, f"{row['alc']:.4f}")
        lines.append(f"| {' | '.join(cells)} | {gain} |")
    return "\n".join(lines) + "\n"


def _within(interval: Sequence[float | None] | None, shown: Callable[[Any], str]) -> str:
    """Return an interval in words; a set with few test patients may give none."""
    return "no interval" if interval is None else " to ".join(map(shown, interval))


def _number(value: float | None) -> str:
    return "never" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    main()
