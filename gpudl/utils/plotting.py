"""A picture of a model: its layers as boxes, what goes from one to the other as arrows."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from html import escape
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

from gpudl.errors import TrainingError, UsageError
from gpudl.files import write_atomically
from gpudl.shapes import shown
from gpudl.utils.drawing import Box, svg


class ModelNode(Protocol):
    """What a model says of each step of its graph: `model.nodes` lists them, inputs before what they go into."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def inputs(self) -> Sequence[ModelNode]: ...
    @property
    def output_shapes(self) -> Sequence[tuple[int | None, ...]]: ...


def plot_model(
    model: Any,
    to_file: str | PathLike[str] = "model.svg",
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = False,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    splines: str = "ortho",
) -> Any:
    """Draw a model into a file: a column of boxes, or branches side by side.

    Graphviz draws it where its program `dot` is installed. Without it gpudl draws the picture itself, but only SVG, and
    `splines` then means nothing. `dpi` is for formats made of pixels. `rankdir` is "TB" (from top to bottom) or "LR"
    (from left to right). A model within the model is one box.

    Returns the picture in a notebook, where it is shown; otherwise nothing.

    Raises: UsageError for a model that is not built yet, or a format that needs `dot` where there is none.
    """
    nodes: list[ModelNode] = list(getattr(model, "nodes", None) or [])
    if not nodes:
        raise UsageError(f"plot_model: {model} is not built, so its layers are not known; build it, or call it on data")
    if rankdir not in ("TB", "LR"):
        raise UsageError(f'plot_model: rankdir={rankdir!r} is unknown; use "TB" or "LR"')
    position = {id(node): number for number, node in enumerate(nodes)}
    layers = {layer.name: layer for layer in getattr(model, "layers", [])}
    if expand_nested and any(getattr(layer, "nodes", None) for layer in layers.values()):
        raise UsageError("plot_model: expand_nested=True is not done in this version; plot the inner model by itself")

    def box(node: ModelNode) -> Box:
        layer = layers.get(node.name)
        rows: list[str] = []
        if show_layer_activations and getattr(layer, "activation", None) is not None:
            rows.append(f"Activation: {_name_of(layer.activation)}")  # pyright: ignore[reportOptionalMemberAccess]
        if show_shapes:
            before = [shape for source in node.inputs for shape in source.output_shapes]
            rows += [f"Input: {_shapes(before)}"] if before else []
            rows.append(f"Output: {_shapes(node.output_shapes)}")
        if show_dtype:
            rows.append(f"Dtype: {getattr(layer, 'dtype', '?')}")
        if show_trainable and getattr(layer, "weights", None):
            rows.append("Trainable" if layer.trainable else "Not trainable")  # pyright: ignore[reportOptionalMemberAccess]
        title = f"{node.name} ({node.kind})" if show_layer_names else node.kind
        return Box(title, rows, [position[id(source)] for source in node.inputs])

    boxes = [box(node) for node in nodes]
    path = Path(to_file)
    kind = path.suffix[1:].lower() or "svg"
    dot = shutil.which("dot")
    if dot is not None:
        # In SVG, sizes are in points: with another dpi Graphviz cuts the picture off.
        picture = _drawn_by(dot, dot_text(boxes, rankdir, 72 if kind == "svg" else dpi, splines), kind)
    elif kind == "svg":
        picture = svg(boxes, rankdir).encode()
    else:
        raise UsageError(
            f'plot_model: "{path}" needs Graphviz, whose program dot is not installed; install it '
            f'(https://graphviz.org/download), or write "{path.with_suffix(".svg")}", which needs nothing'
        )
    write_atomically(path, picture)
    display = sys.modules.get("IPython.display") or getattr(sys.modules.get("IPython"), "display", None)
    if display is None or kind == "pdf":
        return None
    return display.SVG(filename=str(path)) if kind == "svg" else display.Image(filename=str(path))


def _name_of(activation: Any) -> str:
    return getattr(activation, "__name__", None) or type(activation).__name__


def _shapes(shapes: Sequence[tuple[int | None, ...]]) -> str:
    return ", ".join(shown(shape) for shape in shapes)


def dot_text(boxes: Sequence[Box], rankdir: str, dpi: int, splines: str) -> str:
    """Write boxes and arrows in Graphviz's language."""

    def lines() -> Iterator[str]:
        yield "digraph model {"
        yield f'graph [rankdir={rankdir}, dpi={dpi}, splines="{splines}"];'
        yield 'node [shape=plain, fontname="Helvetica", fontsize=14];'
        yield "edge [penwidth=1.5];"
        for number, box in enumerate(boxes):
            rows = "".join(f'<tr><td bgcolor="white">{escape(row)}</td></tr>' for row in box.rows)
            title = f'<tr><td bgcolor="black"><font color="white"><b>{escape(box.title)}</b></font></td></tr>'
            table = f'<table border="0" cellborder="1" cellspacing="0" cellpadding="8">{title}{rows}</table>'
            yield f"{number} [label=<{table}>];"
        for number, box in enumerate(boxes):
            for source in box.inputs:
                yield f"{source} -> {number};"
        yield "}"

    return "\n".join(lines())


def _drawn_by(dot: str, text: str, kind: str) -> bytes:
    """Let Graphviz draw. Raises: UsageError with what it says where it cannot."""
    try:
        done = subprocess.run([dot, f"-T{kind}"], input=text.encode(), capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TrainingError(f"plot_model: {dot} could not be run: {error}") from None
    if done.returncode:
        raise UsageError(f"plot_model: dot failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
