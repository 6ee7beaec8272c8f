"""A candidate set from chest radiographs: pneumonia by bacteria against pneumonia by viruses.

Reads a folder with images.zip and labels.csv (image_id, patient_id, subtype, exact_duplicate, split), as made from
Kermany, Zhang & Goldbaum (Mendeley Data, doi 10.17632/rscbjbr9sj, CC BY 4.0). Pneumonia against normal is nearly solved
by 50 labels and would show nothing. Run as `python -m overread_learn.bench.chest SOURCE OUT`.
"""

import csv
import sys
import zipfile
from pathlib import Path

__all__ = ["APPLICATION", "convert"]

LABELS = {"bacteria": 0, "virus": 1}
"""The rarer of the two is what is looked for."""

APPLICATION = """\
# Pneumonia by viruses against pneumonia by bacteria, a whole chest radiograph each.
name = "chest-pneumonia"
classes = ["bacteria", "virus"]
context = 1.0
context_unit = "image"
input_px = 128
patches = 6
scales = [1.0, 0.9, 0.8]
shifts = [[0.0, 0.0], [0.05, 0.0], [0.0, 0.05], [-0.05, 0.0], [0.0, -0.05]]
# A chest has an up and a down; mirrored, its heart is on the other side, which neither germ minds.
symmetries = [0, 1]
normalisation = { kind = "range" }
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]
alpha = 0.25
rate = 5e-4
head_rate = 1e-3
gamma = 0.95
epochs = 24
momentum = 0.9
"""


def convert(source: Path, out: Path) -> int:
    """Write candidates.csv, images/ and application.toml; exact duplicates are dropped. Returns the candidates.

    Raises FileNotFoundError where the source lacks a file, FileExistsError where ``out`` is there.
    """
    with (source / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["subtype"] in LABELS and row["exact_duplicate"] == "0"]
    (out / "images").mkdir(parents=True)
    with zipfile.ZipFile(source / "images.zip") as archive:
        names = {Path(name).stem: name for name in archive.namelist() if not name.endswith("/")}
        for row in rows:
            name = names[row["image_id"]]
            (out / "images" / f"{row['image_id']}{Path(name).suffix}").write_bytes(archive.read(name))
    with (out / "candidates.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("candidate_id", "patient_id", "image_id", "split", "x", "y", "label"))
        for row in rows:
            table.writerow(
                (row["image_id"], row["patient_id"], row["image_id"], row["split"], "", "", LABELS[row["subtype"]])
            )
    (out / "application.toml").write_text(APPLICATION, encoding="utf-8")
    return len(rows)


if __name__ == "__main__":
    print(convert(Path(sys.argv[1]), Path(sys.argv[2])), "candidates")  # noqa: T201 - a script
