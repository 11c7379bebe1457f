"""The command line, `gpudl`."""

from __future__ import annotations

import gc
import sys


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code: 0 done, 2 usage, 3 data, 4 model file, 5 training, 75 interrupted."""
    from gpudl.cli.app import run

    return run(sys.argv[1:] if arguments is None else arguments)


def program() -> int:
    """Run the command of the shell and return its exit code, with which the process is to end."""
    code = main()
    gc.freeze()  # else Python looks for circles among all that it has made, 50 milliseconds after a training
    return code
