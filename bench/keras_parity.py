"""The scoreboard beside Keras 3: layer, optimizer, callback, loss, metric; cases tried, cases equal.

    pip install torch==2.13.0 && pip install -e ".[test,parity]"
    python -m bench.keras_parity

It runs tests/parity, where hypothesis draws the cases from the whole space of arguments, and counts the comparisons.
"""

from __future__ import annotations

import sys

import pytest

if __name__ == "__main__":
    sys.exit(pytest.main(["tests/parity", "-q", "--no-header", "--scoreboard", *sys.argv[1:]]))
