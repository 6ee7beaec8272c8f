"""Candidates brought together for the commands that learn, with progress."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from overread_learn.applications import Application
from overread_learn.experiment.candidate_set import read
from overread_learn.experiment.material import Material, gather
from overread_learn.experiment.sides import check_held_out
from overread_learn.printing import err

__all__ = ["bars", "gathered"]


def gathered(candidates: Path, application: Application, folder: Path, *, held_out: int = 0) -> Material:
    """Return a candidate set as the application sees it, kept in ``folder`` for the next time; errors as `gather`.

    Where something is chosen on validation patients, ``held_out`` is how many of them, and of the test patients, must
    have each class (`check_held_out`, whose errors come before any image is read).
    """
    found = read(candidates)
    if held_out:
        check_held_out(found, application, held_out)
    folder.mkdir(parents=True, exist_ok=True)
    with bars() as progress:
        task = progress.add_task("images", total=len(found.images))
        return gather(
            found, application, folder, lambda done, total: progress.update(task, completed=done, total=total)
        )


@contextmanager
def bars() -> Iterator[Progress]:
    """Show how much of a known total is done and how long the rest may take, on stderr."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err) as progress:
        yield progress
