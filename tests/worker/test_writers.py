from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from overread.store.engine import Store
from worker.room import Room, purged

EVENTS = 20


def test_three_writers_that_compute_100_ms_an_event_never_find_the_database_locked(store: Store) -> None:
    room = Room(store)
    script = str(Path(__file__).with_name("writer.py"))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    processes = [
        subprocess.Popen(
            [sys.executable, script, name, store.url, str(EVENTS)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
        )
        for name in ("one", "two", "three")
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        room.tell(*purged(*(f"s-{number}" for number in range(EVENTS))))
        for process in processes:
            out, err = process.communicate(timeout=60)
            assert "locked" not in err
            assert out == "retries 0\n"
            assert process.returncode == 0
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert len(room.effects()) == 3 * EVENTS
