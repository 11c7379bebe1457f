"""Boxes and arrows as SVG, laid out in ranks: every box is beyond all that goes into it.

An arrow across several ranks goes through an empty spot in each, so that no box is in its way. Spots are put into an
order in which few arrows cross, and then moved towards what they are joined to.
Source: Sugiyama, Tagawa and Toda 1981, Methods for visual understanding of hierarchical system structures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

LETTER, BOLD, LINE, PADDING = 7.6, 8.4, 20, 12
"""Width of a letter and of one in bold print, height of a line of text, space beside text: in pixels."""
BASELINE = 4.5
"""How far below the middle of its line text stands."""
GAP, RANK_GAP, MARGIN = 28, 38, 12


@dataclass
class Box:
    """A box of the picture: its title, the lines below it, and the numbers of the boxes that go into it."""

    title: str
    rows: list[str]
    inputs: list[int]

    @property
    def width(self) -> float:
        return max(len(self.title) * BOLD, *(len(row) * LETTER for row in self.rows), 0) + 2 * PADDING

    @property
    def height(self) -> float:
        return (1 + len(self.rows)) * LINE + 10


@dataclass(eq=False)
class _Spot:
    """A place of a rank: of a box, or one that an arrow goes through. `across` is its middle, along the rank."""

    box: Box | None
    breadth: float
    before: list[_Spot] = field(default_factory=list)
    after: list[_Spot] = field(default_factory=list)
    across: float = 0.0


def svg(boxes: Sequence[Box], rankdir: str = "TB") -> str:
    """Draw boxes and arrows; inputs come before what they go into. `rankdir` is "TB" or "LR"."""
    upright = rankdir == "TB"
    ranks, spots = _ranked(boxes, upright)
    _reorder(ranks)
    _place(ranks)
    thickness = [
        max((spot.box.height if upright else spot.box.width) for spot in rank if spot.box is not None) for rank in ranks
    ]
    begins = [MARGIN + sum(thickness[:i]) + i * RANK_GAP for i in range(len(ranks))]
    end = begins[-1] + thickness[-1] + MARGIN
    breadth = max(spot.across + spot.breadth / 2 for rank in ranks for spot in rank) + MARGIN
    rank_of = {id(spot): i for i, rank in enumerate(ranks) for spot in rank}

    def point(across: float, along: float) -> str:
        return f"{across:.1f} {along:.1f}" if upright else f"{along:.1f} {across:.1f}"

    def extent(spot: _Spot) -> tuple[float, float]:
        """Where a spot begins and ends, in the direction of the arrows."""
        i = rank_of[id(spot)]
        if spot.box is None:
            return begins[i], begins[i] + thickness[i]
        long = spot.box.height if upright else spot.box.width
        begin = begins[i] + (thickness[i] - long) / 2
        return begin, begin + long

    def arrow(start: _Spot, first: _Spot) -> str:
        """One arrow, from a box through empty spots to the next box."""
        here = extent(start)[1]
        path = [f"M {point(start.across, here)}"]
        spot, last = first, start
        while True:
            begin, finish = extent(spot)
            middle = (here + begin) / 2
            path.append(f"C {point(last.across, middle)}, {point(spot.across, middle)}, {point(spot.across, begin)}")
            if spot.box is not None:
                return f'<path d="{" ".join(path)}" marker-end="url(#arrow)"/>'
            path.append(f"L {point(spot.across, finish)}")
            here, last, spot = finish, spot, spot.after[0]

    def drawn(spot: _Spot, box: Box) -> str:
        begin = extent(spot)[0]
        middle, top = (spot.across, begin) if upright else (begin + box.width / 2, spot.across - box.height / 2)
        left, head = middle - box.width / 2, LINE + (5 if box.rows else 10)
        parts = [
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" fill="white" '
            'stroke="black"/>',
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{box.width:.1f}" height="{head}" fill="black"/>',
            f'<text x="{middle:.1f}" y="{top + head / 2 + BASELINE:.1f}" fill="white" font-weight="bold">',
            f"{escape(box.title)}</text>",
        ]
        for number, row in enumerate(box.rows):
            y = top + head + LINE * (number + 0.5) + 2.5 + BASELINE
            parts.append(f'<text x="{middle:.1f}" y="{y:.1f}">{escape(row)}</text>')
        return "".join(parts)

    width, height = (breadth, end) if upright else (end, breadth)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
            f'viewBox="0 0 {width:.0f} {height:.0f}">',
            '<defs><marker id="arrow" viewBox="0 0 10 10" refX="10" refY="5" markerWidth="7" markerHeight="7" '
            'orient="auto"><path d="M 0 0 L 10 5 L 0 10 z"/></marker></defs>',
            '<rect width="100%" height="100%" fill="white"/>',
            '<g fill="none" stroke="black" stroke-width="1.5">',
            *(arrow(spot, following) for spot in spots for following in spot.after),
            "</g>",
            '<g font-family="Helvetica, Arial, sans-serif" font-size="13" text-anchor="middle">',
            *(drawn(spot, box) for spot, box in zip(spots, boxes, strict=True)),
            "</g>",
            "</svg>",
        ]
    )


def _ranked(boxes: Sequence[Box], upright: bool) -> tuple[list[list[_Spot]], list[_Spot]]:
    """Put boxes into ranks and empty spots where arrows pass. Returns the ranks, and the spot of each box."""
    depth: list[int] = []
    for box in boxes:
        depth.append(1 + max((depth[source] for source in box.inputs), default=-1))
    for number, box in enumerate(boxes):
        used = [depth[i] for i, other in enumerate(boxes) if number in other.inputs]
        if not box.inputs and used:
            depth[number] = min(used) - 1  # an input stands beside what it joins, not at the far end
    spots = [_Spot(box, box.width if upright else box.height) for box in boxes]
    ranks: list[list[_Spot]] = [[] for _ in range(max(depth) + 1)]
    for spot, rank in zip(spots, depth, strict=True):
        ranks[rank].append(spot)
    for number, box in enumerate(boxes):
        for source in dict.fromkeys(box.inputs):
            last = spots[source]
            for rank in range(depth[source] + 1, depth[number]):
                through = _Spot(None, 8.0)
                ranks[rank].append(through)
                _join(last, through)
                last = through
            _join(last, spots[number])
    return ranks, spots


def _join(before: _Spot, after: _Spot) -> None:
    before.after.append(after)
    after.before.append(before)


def _reorder(ranks: list[list[_Spot]]) -> None:
    """Sort each rank by where its neighbours stand, forth and back, until few arrows cross."""
    for turn in range(8):
        forth = turn % 2 == 0
        for rank, other in _neighbours(ranks, forth):
            at = {id(spot): i for i, spot in enumerate(other)}
            middle: dict[int, float] = {}
            for i, spot in enumerate(rank):
                joined = spot.before if forth else spot.after
                middle[id(spot)] = sum(at[id(one)] for one in joined) / len(joined) if joined else i
            rank.sort(key=lambda spot, middle=middle: middle[id(spot)])


def _neighbours(ranks: list[list[_Spot]], forth: bool) -> list[tuple[list[_Spot], list[_Spot]]]:
    """Each rank with the one before it, from the first on; or with the one after it, from the last on."""
    return list(zip(ranks[1:], ranks, strict=False)) if forth else list(zip(ranks[-2::-1], ranks[::-1], strict=False))


def _place(ranks: list[list[_Spot]]) -> None:
    """Choose where the spots stand: near the middle of what they are joined to, and clear of each other."""
    for rank in ranks:
        _spread(rank, [0.0] * len(rank))
    for turn in range(12):
        forth = turn % 2 == 0
        for rank, _ in _neighbours(ranks, forth):
            wanted = []
            for spot in rank:
                joined = spot.before if forth else spot.after
                wanted.append(sum(one.across for one in joined) / len(joined) if joined else spot.across)
            _spread(rank, wanted)
    left = min(spot.across - spot.breadth / 2 for rank in ranks for spot in rank) - MARGIN
    for rank in ranks:
        for spot in rank:
            spot.across -= left


def _spread(rank: list[_Spot], wanted: list[float]) -> None:
    """Put spots as near to where they are wanted as they fit: half way between pushing right and pushing left."""
    apart = [(a.breadth + b.breadth) / 2 + GAP for a, b in pairwise(rank)]
    right, left = list(wanted), list(wanted)
    for i in range(1, len(rank)):
        right[i] = max(right[i], right[i - 1] + apart[i - 1])
    for i in range(len(rank) - 2, -1, -1):
        left[i] = min(left[i], left[i + 1] - apart[i])
    for spot, a, b in zip(rank, right, left, strict=True):
        spot.across = (a + b) / 2
