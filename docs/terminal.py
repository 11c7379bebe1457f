"""Make a picture of a command as a terminal shows it: `python docs/terminal.py PICTURE.svg COMMAND...`.

The command runs for real, in a pseudo-terminal of 88 columns; what it printed becomes the picture. Of lines that were
drawn over, as a progress bar is, the last state is kept.
"""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys

from rich.console import Console
from rich.text import Text

COLUMNS = 88


def run(command: list[str]) -> str:
    """Return what a command prints to a terminal."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "LINES": "40", "TERM": "xterm-256color"}
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    output = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        output += part
    process.wait()
    return output.decode()


def settled(output: str) -> list[str]:
    """Return the lines that stay on the screen."""
    lines: list[str] = []
    for line in output.replace("\r\n", "\n").split("\n"):
        state = re.split(r"\r|\x1b\[2K|\x1b\[1A", line)[-1]
        lines.append(re.sub(r"\x1b\[\?25[hl]", "", state))
    return [line for line in lines if line.strip() and not re.search(r"━", line)]


def main() -> None:
    picture, command = sys.argv[1], sys.argv[2:]
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(f"\x1b[1m$ {' '.join(command)}\x1b[0m"))
    for line in settled(run(command)):
        console.print(Text.from_ansi(line))
    console.save_svg(picture, title="gpudl")


if __name__ == "__main__":
    main()
