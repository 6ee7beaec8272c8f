"""The real parts of an operating system that some tests need: `@pytest.mark.part("dcmtk")`."""

from __future__ import annotations

import shutil

PARTS = {
    "dcmtk": ("echoscu", "storescu", "dcmdump"),
    "chromium": ("chromium",),
    "default-jre-headless": ("java",),
    "maven": ("mvn",),
    "npm": ("node", "npm"),
}
"""A part's name, which is Debian's package too, and the commands that it brings."""


def absent(part: str) -> str | None:
    """Return None where the part is here, else what is missing and the command that mends it."""
    missing = [command for command in PARTS[part] if shutil.which(command) is None]
    if not missing:
        return None
    return f"{part} is not installed ({', '.join(missing)} not found); `make parts` installs it"
