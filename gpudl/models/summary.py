"""The table that `model.summary()` and `gpudl summary` print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpudl.shapes import shown

if TYPE_CHECKING:
    from gpudl.models.model import Model


def summary_table(model: Model) -> Any:
    """Return a rich table: layer, output shape, parameters, multiply-adds of one sample."""
    from rich.table import Table

    table = Table(title=str(model), title_justify="left", show_footer=True)
    rows = model.rows() or [(layer, None, None) for layer in model.layers]
    work = [layer.multiply_adds(a, b) if a and b else 0 for layer, a, b in rows]
    trainable = sum(weight.size for weight in model.trainable_weights)
    total = sum(weight.size for weight in model.weights)
    fixed = f"\n{trainable:,} trainable" if trainable != total else ""
    table.add_column("layer", "total")
    table.add_column("output shape")
    table.add_column("parameters", f"{total:,}{fixed}", justify="right")
    table.add_column("multiply-adds", f"{sum(work):,}", justify="right")
    for (layer, _, after), products in zip(rows, work, strict=True):
        kind = type(layer).__name__
        table.add_row(
            f"{layer.name} [dim]{kind}[/dim]",
            "?" if after is None else shown(after),
            f"{size:,}" if (size := sum(weight.size for weight in layer.weights)) else "",
            f"{products:,}" if products else "",
        )
    return table
