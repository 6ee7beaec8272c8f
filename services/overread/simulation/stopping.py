"""Ctrl-C and SIGTERM end a program in one way: by KeyboardInterrupt, so that whatever it started is stopped."""

from __future__ import annotations

import signal


def stop_when_asked() -> None:
    """Heed both; a shell that starts a program in the background has it ignore the first."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
