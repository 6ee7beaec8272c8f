"""docs/results/depth.md: a study of depths as tables, and below them what the numbers say of the papers' findings."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from overread_learn.bench.depth_claims import claims
from overread_learn.depth import SCRATCH
from overread_learn.experiment.depth_table import Cell, DepthTable, Estimate

__all__ = ["HEAD", "section"]

HEAD = """\
# How deep to fine-tune: every depth, over shares of the labels

`make bench-depth SHARED=folder` writes this page from `docs/results/raw/depth-*.json`; what was not run stands nowhere.

- Each row is one depth (blocks from the head, the rest frozen; `scratch`: all layers from random weights) on one share
  of the training candidates. Smaller shares lie inside larger ones. All have the same epochs; the epoch is chosen on
  the validation patients. The features of frozen blocks are computed once, of eight augmented patches a candidate; all
  layers draw a new patch each epoch, in float32.
- AUC is the mean over seeds, on the test patients. Its 95 % interval is by bootstrap over seeds and test patients: both
  are drawn with replacement, a thousand times, the same ones for every row, so that differences are paired. Three seeds
  make it coarse and too narrow: where seeds alone differ, it holds .75 (simulated).
- Seconds are medians over seeds: on the clock, and of a core, which other work on the machine changes less. They hold
  what a round holds: drawing patches, computing features, training, and the validation patients' AUC after each epoch.
  Faster: all layers' core seconds at the same share over the row's, the median over the seeds of which one kind of
  processor did both.
"""


def section(name: str, facts: Mapping[str, Any], depths: int, sizes: Sequence[int], seeds: int) -> str:
    """Return one study in Markdown.

    ``facts`` is the file's JSON, ``depths`` how many the network has; ``sizes`` and ``seeds`` are what a whole study
    holds, with scratch.
    """
    setting, table = facts["setting"], DepthTable(facts)
    wanted = {(share, at, seed) for share in sizes for at in (*range(1, depths + 1), SCRATCH) for seed in range(seeds)}
    there = {(row["share"], row["depth"], row["seed"]) for row in facts["findings"]}
    left = len(wanted - there)
    commits = ", ".join(sorted({row["commit"] for row in facts["findings"]}))
    lines = [f"## {name}", ""]
    epochs, threads = setting["recipe"]["epochs"], setting["threads"]
    trained = f"{setting['arch']}; at most {setting['most']} candidates; {epochs} epochs"
    at_once = f"{setting['workers']} networks at a time, {threads} thread{'s' * (threads > 1)} each"
    processors = "; ".join(sorted({row.get("processor", "one not noted") for row in facts["findings"]}))
    trained += f", {setting['validation']} for validation{_patches(setting)}"
    lines += [f"{trained}; {setting['machine']} ({processors}), {at_once}; commits {commits}.", ""]
    if left:
        lines += [f"**Incomplete**: {left} of {len(wanted)} findings are missing.", ""]
    lines += _depths(table, depths)
    shares = table.complete(depths)
    if not shares:
        return "\n".join([*lines, "", "No share has every depth yet: nothing can be said of the papers' findings.", ""])
    lines += ["", "The depth that the one-standard-error rule takes on the validation patients, and what it costs:", ""]
    lines += _rule(table, shares, depths)
    lines += ["", *(f"- {claim}" for claim in claims(table, shares, depths))]
    if 100 in shares:
        lines.append(f"- {_validation(table.cell(100, depths), epochs)}")
    if missing := [str(share) for share in table.shares if share not in shares]:
        lines += ["", f"Left out above, for lack of findings: {', '.join(missing)} %."]
    return "\n".join([*lines, ""])


def _depths(table: DepthTable, depths: int) -> list[str]:
    lines = _head("labels", "trained", "seeds", "AUC (95 %)", "seconds", "core seconds", "faster")
    for share in table.shares:
        whole = table.cell(share, depths) if (share, depths) in table else None
        for at in table.depths:
            if (share, at) in table:
                cell = table.cell(share, at)
                faster = _times(cell.faster(whole)) if whole else "all layers not run"
                row = [f"{cell.labels} ({share} %)", cell.blocks, str(len(cell.seeds)), _interval(cell.auc)]
                lines.append(_row(*row, f"{cell.seconds:.0f}", f"{cell.core_seconds:.0f}", faster))
    return lines


def _patches(setting: Mapping[str, Any]) -> str:
    few = setting.get("validation_patches")
    return "" if few is None else f" ({few} patches of theirs)"


def _times(faster: float) -> str:
    return "on no processor both" if math.isnan(faster) else f"{faster:.1f}"


def _rule(table: DepthTable, shares: Sequence[int], depths: int) -> list[str]:
    lines = _head("share", "taken, by seed", "AUC (95 %)", "minus all layers' (95 %)", "core seconds", "all layers'")
    for share in shares:
        taken, whole = table.by_rule(share), table.cell(share, depths)
        cost = taken.minus(whole)
        row = [f"{share} %", taken.blocks, _interval(taken.auc)]
        row.append(f"{cost.value:+.3f} ({cost.lower:+.3f} to {cost.upper:+.3f})")
        lines.append(_row(*row, f"{taken.core_seconds:.0f}", f"{whole.core_seconds:.0f}"))
    return lines


def _validation(whole: Cell, epochs: int) -> str:
    spent = epochs * whole.validation_core_seconds
    return (
        f"Of all layers' {whole.core_seconds:.0f} core seconds at 100 %, about {spent:.0f} go into the validation AUC "
        f"after each epoch ({epochs} times what judging them once took afterwards). "
        "Where validation patients are fewer, a shallow round gains less."
    )


def _head(*names: str) -> list[str]:
    return [_row(*names), "|" + "---|" * len(names)]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _interval(one: Estimate) -> str:
    return f"{one.value:.3f} ({one.within})"
