"""How the pictures of the notes look: one size, one palette, one way to save them."""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path
from typing import Any

try:
    import matplotlib
    from cycler import cycler
    from PIL import Image
except ImportError:
    sys.exit('The notes draw with matplotlib, which is not installed: pip install matplotlib (gpudl\'s extra "report")')

matplotlib.use("Agg")  # pictures go into files; no screen is needed
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart by colour-blind readers too, and in print.
BLUE, ORANGE, GREEN, PINK, SKY, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#595959"
COLOURS = (BLUE, ORANGE, GREEN, PINK, SKY)

plt.rcParams.update(
    {
        "axes.grid": True,
        "axes.prop_cycle": cycler(color=COLOURS),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": 12,
        "figure.constrained_layout.use": True,
        "figure.dpi": 100,
        "font.size": 11,
        "grid.alpha": 0.25,
        "legend.frameon": False,
        "legend.fontsize": 10,
        "lines.linewidth": 2,
    }
)


def picture(panels: str = "A", **settings: Any) -> tuple[Figure, list[Axes]]:
    """Start a picture of 900 x 500 pixels, return it with its panels.

    Letters say where each panel is: "AB" is two side by side, "AB;AC" a tall one and two beside it.
    """
    figure, axes = plt.subplot_mosaic(panels, figsize=(9, 5), **settings)
    return figure, [axes[letter] for letter in sorted(axes)]


def label(axes: Axes, title: str = "", x: str = "", y: str = "") -> None:
    """Write a panel's title and what its axes measure."""
    axes.set(title=title, xlabel=x, ylabel=y)


def show_image(axes: Axes, image: Any, title: str = "", numbers: bool = False, **settings: Any) -> None:
    """Show an image without axes, its lowest value white; with the numbers in the pixels, if wanted."""
    axes.imshow(image, **{"cmap": "Greys", **settings})
    axes.set(title=title, xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)
    if numbers:
        shown = axes.images[0]
        for row, values in enumerate(image):
            for column, value in enumerate(values):
                dark = sum(shown.to_rgba(value)[:3]) < 1.5
                colour = "white" if dark else "black"
                axes.text(column, row, f"{value:.3g}", ha="center", va="center", fontsize=9, color=colour)


def save(figure: Figure, script: str, title: str) -> None:
    """Write the picture to `--out`, or to `images/` beside the script. `title` says what it shows."""
    parser = argparse.ArgumentParser(description=f"Draw: {title}")
    default = Path(script).parent / "images" / Path(script).with_suffix(".png").name
    parser.add_argument("--out", type=Path, default=default, help="where the picture goes (default: %(default)s)")
    path: Path = parser.parse_args().out
    figure.suptitle(title, fontsize=14, fontweight="bold")
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    Image.open(drawn).convert("RGB").quantize(128).save(path, "png", optimize=True)  # few colours: a third of the bytes
