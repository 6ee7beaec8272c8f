"""The tables of docs/results/depth.md: every depth over shares of the labels, two sets and two networks.

Run as `make bench-depth SHARED=../shared`, or `python -m overread_learn.bench.depth --shared DIR [--only NAME ...]`.
Findings that stand in docs/results/raw are read, missing ones are made, and the page is written from what is there and
says what is missing: a bench that is broken off goes on where it was. SqueezeNet's 72 findings on IDRiD took 4,200 core
seconds to learn; the other studies take longer.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from overread_learn.bench.depth_page import HEAD, section
from overread_learn.bench.reference import candidates
from overread_learn.nets import Classifier
from overread_learn.nets.blocks import blocks

__all__ = ["STUDIES", "Study", "page"]

SIZES = (10, 25, 50, 100)
SEEDS = 3


class Study(NamedTuple):
    """One network on one set of the reference data."""

    set: str
    arch: str
    most: int
    """Candidates of the whole training set."""
    validation_patches: int | None
    """Of the validation candidates together, all that `depth` takes if None: scoring them after each epoch took two
    fifths of all layers' time on IDRiD."""

    @property
    def name(self) -> str:
        """What its file is called, and `--only` takes."""
        return f"{self.set}-{self.arch}"


STUDIES = (
    Study("idrid_ma", "squeezenet1_1", most=1000, validation_patches=None),
    Study("idrid_ma", "mobilenet_v2", most=1000, validation_patches=600),
    # A patch of a radiograph has four times as many pixels as one of a fundus.
    Study("cxr_pneumonia", "squeezenet1_1", most=500, validation_patches=600),
    Study("cxr_pneumonia", "mobilenet_v2", most=500, validation_patches=600),
)


def main() -> None:
    """Run what is missing, then write the page."""
    reads = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reads.add_argument("--shared", type=Path, required=True, help="the reference data: data/ and weights/")
    reads.add_argument("--only", nargs="*", default=[study.name for study in STUDIES], help="names of studies")
    reads.add_argument("--seeds", type=int, default=SEEDS)
    reads.add_argument("--most", type=int, help="candidates of the whole training set; the study's if left out")
    reads.add_argument("--epochs", type=int, help="the application's if left out")
    reads.add_argument("--workers", type=int, help="processes; one a core if left out")
    reads.add_argument("--results", type=Path, default=Path("docs/results"))
    reads.add_argument("--out", type=Path, default=Path("build/depth"))
    asked = reads.parse_args()
    if unknown := set(asked.only) - {study.name for study in STUDIES}:
        reads.error(f"no such study: {', '.join(sorted(unknown))}")
    try:
        for study in STUDIES:
            if study.name in asked.only:
                _find(study, asked)
    finally:  # a bench that is broken off leaves the page of what it did
        asked.results.mkdir(parents=True, exist_ok=True)
        (asked.results / "depth.md").write_text(page(asked.results), encoding="utf-8")


def _find(study: Study, asked: argparse.Namespace) -> None:
    folder, application = candidates(asked.shared, study.set, asked.out)
    words = ["depth", "--candidates", folder, "--application", application, "--arch", study.arch]
    words += ["--weights", asked.shared / "weights" / f"{study.arch}.pth"]
    words += ["--sizes", ",".join(map(str, SIZES)), "--scratch", "--seeds", asked.seeds]
    words += ["--most", asked.most or study.most]
    words += ["--validation-patches", study.validation_patches] if study.validation_patches else []
    words += ["--epochs", asked.epochs] if asked.epochs else []
    words += ["--workers", asked.workers] if asked.workers else []
    words += ["--out", asked.out / study.name, "--raw", _file(asked.results, study), "--resume"]
    program = Path(sys.executable).parent / "overread-learn"
    subprocess.run([program, *map(str, words)], check=True)  # noqa: S603 - our own program


def page(results: Path) -> str:
    """Return the page of the studies that stand in ``results``, and name those that do not."""
    sections, absent = [], []
    for study in STUDIES:
        if _file(results, study).exists():
            facts = json.loads(_file(results, study).read_text(encoding="utf-8"))
            depths = len(blocks(Classifier(study.arch, 2)))
            sections.append(section(study.name, facts, depths, SIZES, SEEDS))
        else:
            absent.append(study.name)
    return "\n".join([HEAD, *sections, *([f"Not run: {', '.join(absent)}."] if absent else [])]).rstrip() + "\n"


def _file(results: Path, study: Study) -> Path:
    return results / "raw" / f"depth-{study.name}.json"


if __name__ == "__main__":
    main()
