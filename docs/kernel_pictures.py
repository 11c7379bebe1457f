"""The pictures of docs/kernels.md: `python docs/kernel_pictures.py` writes them to docs/images."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent / "images"
INK, SOFT, BLUE, RED, GREEN = "#1f2937", "#9ca3af", "#3b82f6", "#ef4444", "#10b981"


class Picture:
    """An SVG drawn in the order of the calls."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height, self.parts = width, height, list[str]()

    def box(
        self, x: float, y: float, w: float, h: float, fill: str = "none", line: str = INK, opacity: float = 1
    ) -> None:
        self.parts.append(
            f'<rect x="{x}" y="{y}" width="{w}" height="{h}" fill="{fill}" fill-opacity="{opacity}" stroke="{line}"/>'
        )

    def text(self, x: float, y: float, words: str, anchor: str = "middle", size: int = 13, color: str = INK) -> None:
        self.parts.append(
            f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="{size}" fill="{color}">{words}</text>'
        )

    def arrow(self, x1: float, y1: float, x2: float, y2: float) -> None:
        self.parts.append(f'<path d="M{x1},{y1} L{x2},{y2}" stroke="{SOFT}" fill="none" marker-end="url(#tip)"/>')

    def save(self, name: str) -> None:
        tip = (
            '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
            f'<path d="M0,0 L8,4 L0,8 z" fill="{SOFT}"/></marker>'
        )
        head = (
            '<svg xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" '
            f'viewBox="0 0 {self.width} {self.height}">'
        )
        body = "\n".join(self.parts)
        (HERE / name).write_text(
            f'{head}\n<defs>{tip}</defs>\n<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n',
            encoding="utf-8",
        )


def implicit_matrix() -> None:
    """An image, three windows in it, and the rows of the matrix that they would be."""
    p, cell = Picture(760, 300), 24
    left, top = 30, 60
    p.text(left + 3.5 * cell, 30, "x: 7 x 7, C channels")
    for row in range(7):
        for column in range(7):
            p.box(left + column * cell, top + row * cell, cell, cell, line=SOFT)
    windows = (((0, 0), BLUE), ((0, 2), GREEN), ((4, 4), RED))
    for (row, column), color in windows:
        p.box(left + column * cell, top + row * cell, 3 * cell, 3 * cell, color, color, 0.25)
    p.text(left + 3.5 * cell, top + 7 * cell + 24, "windows of 3 x 3, stride 2", size=12, color=SOFT)
    x, y, wide = 320, 60, 27 * 8
    p.text(x + wide / 2, 30, "A: a row for each position")
    for number in range(9):
        color = {0: BLUE, 1: GREEN, 8: RED}.get(number)
        p.box(x, y + number * 18, wide, 18, color or "none", SOFT, 0.25 if color else 1)
    for tap in range(1, 9):
        p.parts.append(f'<path d="M{x + tap * 24},{y} v{9 * 18}" stroke="{SOFT}" stroke-dasharray="2 3"/>')
    p.arrow(left + 3 * cell + 2, top + 30, x - 6, y + 9)
    p.arrow(left + 5 * cell + 2, top + 40, x - 6, y + 27)
    p.arrow(left + 7 * cell + 2, top + 5.5 * cell, x - 6, y + 8.5 * 18)
    p.text(x + wide / 2, y + 9 * 18 + 22, "R S C columns: C for each tap (r, s)", size=12, color=SOFT)
    p.text(x + wide / 2, y + 9 * 18 + 38, "never written down", size=12, color=SOFT)
    p.text(x + wide + 24, y + 90, "x", size=18)
    p.box(x + wide + 46, y, 70, wide - 54)
    p.text(x + wide + 81, 30, "B: kernel")
    p.text(x + wide + 81, y + 80, "R S C x K", size=12)
    p.text(x + wide + 136, y + 90, "=", size=18)
    p.text(x + wide + 166, y + 90, "y", size=15)
    p.save("implicit-gemm.svg")


def tiles() -> None:
    """The tile of a block, of a warp, and of the tensor cores; and the stages along the depth."""
    p = Picture(760, 440)
    x, y = 210, 150
    p.text(x + 110, y + 240, "y: N P Q rows, K columns", size=12, color=SOFT)
    p.box(x, y, 220, 220)
    for i in range(1, 4):
        p.parts.append(
            f'<path d="M{x},{y + i * 55} h220 M{x + i * 55},{y} v220" stroke="{SOFT}" stroke-dasharray="2 3"/>'
        )
    bx, by = x + 110, y + 55
    p.box(30, by, 150, 55, BLUE, BLUE, 0.15)
    p.text(105, by - 8, "A: 128 rows", size=12)
    p.box(bx, 20, 55, 110, GREEN, GREEN, 0.15)
    p.text(bx + 62, 40, "B: 128 columns", anchor="start", size=12)
    for step, color in ((1, BLUE), (2, BLUE)):
        p.box(30 + step * 30, by, 30, 55, color, color, 0.25 + 0.25 * (step == 1))
        p.box(bx, 20 + step * 22, 55, 22, GREEN, GREEN, 0.25 + 0.25 * (step == 1))
    p.text(75, by + 72, "step", size=11, color=SOFT)
    p.text(106, by + 72, "next", size=11, color=SOFT)
    p.box(bx, by, 55, 55, RED, RED, 0.25)
    zx, zy, size = 500, 150, 220
    p.arrow(bx + 58, by + 27, zx - 8, zy + 60)
    p.text(zx + size / 2, zy - 26, "a block's tile, 128 x 128:", size=13)
    p.text(zx + size / 2, zy - 9, "4 warps of 64 x 64, each in registers", size=12, color=SOFT)
    p.box(zx, zy, size, size)
    for row in range(2):
        for column in range(2):
            p.box(zx + column * 110, zy + row * 110, 110, 110, RED, INK, 0.12)
    for row in range(4):
        for column in range(8):
            p.box(zx + column * 13.75, zy + row * 27.5, 13.75, 27.5, line=RED)
    p.text(zx + size / 2, zy + size + 20, "red: 16 x 8, one mma instruction", size=12, color=SOFT)
    p.text(30, 428, "dark: the step that is multiplied; lighter: those under way (cp.async)", "start", 12, SOFT)
    p.save("tiles.svg")


if __name__ == "__main__":
    implicit_matrix()
    tiles()
