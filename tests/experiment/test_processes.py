"""Processes that work for another one: none outlives it, and none ends without a word."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from overread_learn.experiment.processes import WorkerEnded, spread

PARENT = """
import os, sys, time
from pathlib import Path
from overread_learn.experiment.processes import spread

def prepare():
    Path(sys.argv[1], str(os.getpid())).touch()

def work(seconds):
    time.sleep(seconds)

if __name__ == "__main__":
    list(spread(work, [(600,), (600,)], 2, prepare))
"""


def test_workers_end_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    program, there = tmp_path / "parent.py", tmp_path / "there"
    program.write_text(PARENT)
    there.mkdir()
    parent = subprocess.Popen([sys.executable, str(program), str(there)])
    try:
        until = time.monotonic() + 60
        while len(list(there.iterdir())) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        workers = [int(file.name) for file in there.iterdir()]
        assert len(workers) == 2
    finally:
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    until = time.monotonic() + 20
    while any(map(runs, workers)) and time.monotonic() < until:
        time.sleep(0.05)
    left = [pid for pid in workers if runs(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


def runs(pid: int) -> bool:
    """Say whether a process is there and is no zombie, which waits for nothing but its new parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def nothing() -> None:
    pass


def after(file: str) -> str:
    """Return when somebody says so: it waits for a file."""
    until = time.monotonic() + 60
    while not Path(file).exists() and time.monotonic() < until:
        time.sleep(0.05)
    return "heard" if Path(file).exists() else "never"


def test_there_is_time_for_news_while_a_job_runs(tmp_path: Path) -> None:
    file = tmp_path / "news"
    ((_, said),) = spread(after, [(str(file),)], 1, nothing, file.touch)
    assert said == "heard"


def test_a_worker_that_is_ended_is_one_clear_error() -> None:
    with pytest.raises(WorkerEnded, match=r"ended from outside, .* what is done is kept; go on with --resume"):
        list(spread(os.kill, [(os.getpid(), 0), (0, signal.SIGKILL)], 1, os.setsid))
