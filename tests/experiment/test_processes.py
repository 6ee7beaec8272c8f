"""Processes that work for another one: none outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

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
