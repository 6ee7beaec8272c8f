"""What the demo says of itself: build/demo/summary.json, the table, and what was promised and did not come true."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table

from overread.house import House
from overread.simulation.accounts import reconcile
from overread.status import collect
from overread_learn.printing import tabulate


def summarise(house: House, *, sent: Path, answered: Path, flipped: int, seconds: float) -> dict[str, Any]:
    """Gather the summary from the rooms' own words; nothing in it is computed from what the demo meant to do."""
    facts = collect(house)
    rollout = facts["rollout"]
    evidence = {row["version"]: row for row in rollout["evidence"]}
    verdicts = {row["version"]: row["state"] for row in rollout["versions"]}
    champion = rollout["champion"] or {}
    accounts = reconcile(house, sent, answered)
    return {
        "bus": "kafka" if house.settings.bus_url else "embedded",
        "store": house.store.engine.dialect.name,
        "studies_stored": facts["gateway"]["studies"],
        "instances_stored": facts["gateway"]["instances"],
        "candidates_scored": facts["inference"]["scored"],
        "corrections": facts["review"]["corrections"],
        "rounds": [
            {
                **{key: row[key] for key in ("round", "strategy", "labels", "auc_validation", "version", "sha256")},
                "verdict": verdicts.get(row["version"]),
                "seconds": row["seconds"],
            }
            for row in facts["trainer"]["rounds"]
            if row["state"] == "registered"
        ],
        "start": next((row["reason"] for row in facts["trainer"]["rounds"] if row["round"] == 0), None),
        "evidence": rollout["evidence"],
        "transitions": rollout["transitions"],
        "champions": rollout["champions"],
        "champion": {
            **{key: champion.get(key) for key in ("version", "sha256")},
            "auc_locked": evidence.get(champion.get("version"), {}).get("auc_locked"),
        },
        "serving_sha256": (facts["serving"] or {}).get("sha256"),
        "detector_auc_locked": next((row["detector_auc"] for row in rollout["evidence"]), None),
        "flipped": {"version": flipped, "verdict": verdicts.get(flipped)},
        "promised": {"instances": accounts.instances, "corrections": accounts.corrections},
        "lost": accounts.lost,
        "duplicated": accounts.duplicated,
        "problems": facts["problems"],
        "wall_seconds": round(seconds, 1),
    }


def faults(summary: dict[str, Any], kinds: Sequence[str]) -> list[str]:
    """Return what the demo promises and this run did not show; `kinds` are the corrections that its data call for."""
    corrections, champion = summary["corrections"], summary["champion"]
    detector = summary["detector_auc_locked"]
    promises = {
        "the champion serves": champion["sha256"] is not None and champion["sha256"] == summary["serving_sha256"],
        "two versions or more were champion": len(set(summary["champions"])) >= 2,
        "a challenger beyond the first clearance passed the gate": len(summary["champions"]) >= 3,
        "the challenger with flipped labels was rejected": summary["flipped"]["verdict"] == "rejected",
        "nothing was lost": summary["lost"] == 0,
        "nothing was doubled": summary["duplicated"] == 0,
        f"corrections were {', '.join(kinds)}": all(corrections[name] for name in kinds),
        "the champion is at least as good as the first-pass detector": detector is None
        or (champion["auc_locked"] or 0) >= detector,
    }
    return [promise for promise, kept in promises.items() if not kept]


def table(summary: dict[str, Any]) -> Group:
    """Return what happened, for people."""
    counts = Table.grid(padding=(0, 2))
    stored = ("studies_stored", "instances_stored", "candidates_scored")
    for name in ("bus", "store", *stored, "lost", "duplicated", "wall_seconds"):
        counts.add_row(name.replace("_", " "), str(summary[name]))
    evidence = tabulate(
        "evidence on locked patients",
        ("version", "gate", "answer", "auc_locked", "auc_champion", "auc_cleared", "detector_auc", "reason"),
        summary["evidence"],
    )
    rounds = tabulate(
        "rounds", ("round", "strategy", "labels", "auc_validation", "version", "verdict", "seconds"), summary["rounds"]
    )
    corrections = tabulate("corrections", tuple(summary["corrections"]), [summary["corrections"]])
    champion = tabulate("champion", ("version", "sha256", "auc_locked"), [summary["champion"]])
    return Group(counts, corrections, rounds, evidence, champion)
