"""The tables of docs/results.md: every strategy on every pool, grown from session to session.

Run as `make bench-labels SHARED=../shared`, or `python -m overread_learn.bench.labels --shared DIR [--only NAME ...]`.
Runs that stand in docs/results/raw are read, missing ones are made, and the tables are written from what is there: what
was not run stands in none.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from overread_learn.acquisition.strategy import AUTO, meaning
from overread_learn.bench.reference import candidates

__all__ = ["POOLS", "Pool", "across", "table"]

PAPERS = ("random", "scratch", "entropy", "entropy@.25", "diversity", "diversity@.25", "sum", "sum@.25")
"""The eight methods of Zhou et al. (CVPR 2017), Table 2."""
MODERN = ("auto", "acft", "margin", "badge", "typiclust", "stratified", "oracle", "foresight")
BEST = ("random", "auto", "margin", "badge", "acft", "diversity@.25", "sum@.25", "entropy@.25", "oracle", "foresight")
FEW = ("random", "auto", "margin", "badge", "acft", "oracle", "foresight")
RIVALS = (
    "acft:badge",
    "acft:entropy@.25+badge2",
    "random:acft",
    "random:entropy@.25+badge2",
    "random:entropy@.25+badge",
    "random:sum@.25+badge2",
    "random:diversity@.25+badge2",
    "random:margin+badge2",
    "diversity@.25:entropy@.25+badge2",
    "typiclust:entropy@.25+badge2",
)
"""What `auto` was chosen from, beside those with a name: cold starts, measures, how far the prefilter reaches."""
EVERY = (*PAPERS, *MODERN, "least-confidence", "coreset", "patch-jsd", "margin^1", *RIVALS)
ENOUGH = 5
"""Seeds, for a mean that is held against others'."""
BUDGETS = "50,50,100,200,400"


class Pool(NamedTuple):
    """One comparison: a set, at a prevalence, and who takes part."""

    name: str
    set: str
    strategies: Sequence[str]
    prevalence: float | None
    head_only: bool
    seeds: int
    """A run of the head alone takes seconds, one of all layers minutes."""


POOLS = (
    Pool("idrid-natural", "idrid_ma", (*PAPERS, *MODERN), None, head_only=False, seeds=5),
    Pool("idrid-5", "idrid_ma", BEST, 0.05, head_only=False, seeds=5),
    Pool("idrid-1", "idrid_ma", FEW, 0.01, head_only=False, seeds=5),
    Pool("chest-natural", "cxr_pneumonia", EVERY, None, head_only=True, seeds=20),
    Pool("chest-5", "cxr_pneumonia", EVERY, 0.05, head_only=True, seeds=20),
    Pool("chest-1", "cxr_pneumonia", EVERY, 0.01, head_only=True, seeds=20),
)


def main() -> None:
    """Run what is missing, then write the tables."""
    reads = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reads.add_argument("--shared", type=Path, required=True, help="the reference data: data/ and weights/")
    reads.add_argument("--only", nargs="*", default=[pool.name for pool in POOLS], help="names of pools")
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
    files = [results / f"{pool.name}.json" for pool in POOLS if (results / f"{pool.name}.json").exists()]
    found = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}
    stands = f"`auto` stands for `{meaning(AUTO)}`.\n"
    sections = [table(name, facts) for name, facts in found.items()]
    return "\n".join(["# Labels saved: every pool\n", stands, *([across(found)] if found else []), *sections])


def across(pools: Mapping[str, Mapping[str, Any]], enough: int = ENOUGH) -> str:
    """Return what strategies with ``enough`` seeds on every pool gained: ALC minus Random's, the best mean first."""
    everywhere = set.intersection(*(_ran(facts, enough) for facts in pools.values()))
    gains = {name: [facts["summary"][name]["alc_minus_random"] for facts in pools.values()] for name in everywhere}
    lines = [
        "## Across the pools",
        "",
        f"ALC minus Random's, of the strategies that ran with {enough} seeds or more on every pool here.",
        "",
    ]
    lines += [f"| strategy | {' | '.join(pools)} | mean |", "|---" * (len(pools) + 2) + "|"]
    for name, row in sorted(gains.items(), key=lambda item: -sum(item[1])):
        lines.append(f"| `{name}` | {' | '.join(f'{gain:+.4f}' for gain in row)} | {sum(row) / len(row):+.4f} |")
    return "\n".join(lines) + "\n"


def _ran(facts: Mapping[str, Any], enough: int) -> set[str]:
    return {name for name in facts["summary"] if len(facts["strategies"][name]) >= enough}


def table(name: str, facts: Mapping[str, Any]) -> str:
    """Return one pool's table in Markdown, the largest area under the curve first."""
    protocol, curves = facts["protocol"], facts["strategies"]
    at = " / ".join(str(step["labels"]) for step in next(iter(next(iter(curves.values())).values())))
    trained = "head alone" if protocol["depth"] else "all layers"
    made = f"commits {', '.join(facts['commits'])}; {facts['seconds'] / 60:.0f} minutes of one core"
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
        low, high = row["ratio_interval"]
        less, more = row["alc_minus_random_interval"]
        reach = "never" if row["labels_to_reach"] is None else f"{row['labels_to_reach']:.0f}"
        ratio = f"{_number(row['ratio_to_random'])} ({_number(low)} to {_number(high)})"
        cells = (f"`{strategy}`", str(len(seeds)), aucs, f"{positives:.0f}", reach, ratio, f"{row['alc']:.4f}")
        lines.append(f"| {' | '.join(cells)} | {row['alc_minus_random']:+.4f} ({less:+.4f} to {more:+.4f}) |")
    return "\n".join(lines) + "\n"


def _number(value: float | None) -> str:
    return "never" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    main()
