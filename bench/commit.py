"""Which gpudl was measured."""

from __future__ import annotations

import subprocess
from pathlib import Path


def commit() -> str:
    """Return the commit that lies here, and whether it has been changed. Raises: OSError, CalledProcessError."""

    def asked(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], capture_output=True, text=True, timeout=20, check=True, cwd=Path(__file__).parent
        )
        return done.stdout.strip()

    return asked("rev-parse", "--short", "HEAD") + (" and changes" if asked("status", "-s") else "")
