"""The ratios as a picture: a bar for each piece of work, coloured by its goal, which is marked. Plain SVG."""

from __future__ import annotations

import math
from html import escape

Row = tuple[str, float, float | None]
"""What was done, PyTorch's time / gpudl's, and the goal."""

LEFT, UNIT, LINE, TOP = 470, 100, 26, 88
"""Pixels: where the bars begin, of a doubling, of a line, above the first line."""
LEAST, MOST = 1 / 8, 8

REACHED, MISSED, NO_GOAL, GOAL = "#2a7f62", "#c97b2a", "#8a8f98", "#b3261e"
LEGEND = ((REACHED, "goal reached"), (MISSED, "goal missed"), (NO_GOAL, "no goal"), (GOAL, "the goal"))


def _x(ratio: float) -> float:
    return LEFT + UNIT * math.log2(min(MOST, max(LEAST, ratio)) / LEAST)


def svg(title: str, rows: list[Row]) -> str:
    """Draw the rows. The axis doubles from line to line; right of 1 gpudl is quicker."""
    width, height = _x(MOST) + 64, TOP + LINE * len(rows) + 16
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" font-family="sans-serif" '
        'font-size="13">',
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
        f'<text x="12" y="22" font-size="15" font-weight="bold">{escape(title)}</text>',
    ]
    for number, (colour, meaning) in enumerate(LEGEND):
        x, thickness = 12 + 120 * number, 2 if colour == GOAL else 14
        parts.append(f'<rect x="{x}" y="36" width="{thickness}" height="14" fill="{colour}"/>')
        parts.append(f'<text x="{x + thickness + 6}" y="48" fill="#444444">{meaning}</text>')
    ratio = LEAST
    while ratio <= MOST:
        x, strong = _x(ratio), ratio == 1
        parts.append(
            f'<line x1="{x:.0f}" x2="{x:.0f}" y1="{TOP - 8}" y2="{height - 12:.0f}" '
            f'stroke="{"#444444" if strong else "#dddddd"}"/>'
        )
        parts.append(f'<text x="{x:.0f}" y="{TOP - 14}" text-anchor="middle" fill="#444444">{ratio:g}</text>')
        ratio *= 2
    for number, (name, value, goal) in enumerate(rows):
        y = TOP + LINE * number
        first, last = sorted((_x(1), _x(value)))
        colour = NO_GOAL if goal is None else REACHED if value >= goal else MISSED
        parts.append(f'<text x="{LEFT - 10}" y="{y + 14}" text-anchor="end">{escape(name)}</text>')
        size = f'width="{max(1.0, last - first):.1f}" height="{LINE - 10}"'
        parts.append(f'<rect x="{first:.1f}" y="{y + 2}" {size} fill="{colour}"/>')
        parts.append(f'<text x="{_x(MOST) + 14:.1f}" y="{y + 14}" fill="#222222">{value:.2f}</text>')
        if goal is not None:
            x = _x(goal)
            parts.append(f'<path d="M{x:.1f} {y - 1} v{LINE - 4}" stroke="{GOAL}" stroke-width="2"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"
