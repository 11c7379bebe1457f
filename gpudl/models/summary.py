"""The table that `model.summary()` and `gpudl summary` print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpudl.shapes import shown

if TYPE_CHECKING:
    from gpudl.models.model import Model


def summary_table(model: Model) -> Any:
    """Return a rich table: layer, output shape, parameters, multiply-adds of one sample.

    Where a model is no plain chain, a further column says what each layer is called on.
    """
    from rich.table import Table

    nodes = model.nodes
    chain = (
        all(len(node.inputs) <= 1 for node in nodes) and len({id(i) for n in nodes for i in n.inputs}) >= len(nodes) - 1
    )
    rows: list[tuple[str, str, str, int, int, str]] = []
    counted: set[int] = set()
    for node in nodes:
        if chain and node.kind == "InputLayer":
            continue
        weights = [] if node.layer is None or id(node.layer) in counted else node.layer.weights
        counted.add(id(node.layer))
        shapes = ", ".join(shown(shape) for shape in node.output_shapes)
        sources = ", ".join(source.name for source in node.inputs)
        rows.append((node.name, node.kind, shapes, sum(w.size for w in weights), node.multiply_adds, sources))
    if not nodes:
        rows = [
            (layer.name, type(layer).__name__, "?", sum(w.size for w in layer.weights), 0, "") for layer in model.layers
        ]

    table = Table(title=str(model), title_justify="left", show_footer=True)
    trainable = sum(weight.size for weight in model.trainable_weights)
    total = sum(weight.size for weight in model.weights)
    fixed = f"\n{trainable:,} trainable" if trainable != total else ""
    table.add_column("layer", "total")
    table.add_column("output shape")
    table.add_column("parameters", f"{total:,}{fixed}", justify="right")
    table.add_column("multiply-adds", f"{sum(row[4] for row in rows):,}", justify="right")
    if not chain:
        table.add_column("called on")
    for name, kind, shapes, size, products, sources in rows:
        cells = [f"{name} [dim]{kind}[/dim]", shapes, f"{size:,}" if size else "", f"{products:,}" if products else ""]
        table.add_row(*cells, *([] if chain else [sources]))
    return table
