"""Draw the packages and their imports: `python -m docs.draw_imports` writes docs/images/imports.svg.

Rows are those of ORDER in tests/imports.py. An arrow that follows from other arrows is left out.
"""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.imports import ORDER, imports_of_packages

OUT = Path(__file__).parent / "images" / "imports.svg"
WIDTH, MARGIN = 700, 16
PITCH, HEIGHT = 62, 32  # from row to row, and of a box
LETTER, PADDING = 7.3, 13  # the width of a letter, and of the space beside a label
GAP = 18  # between neighbours of a row
PORT = 12  # between the arrows of a box
SWEEPS = 40
STIFFNESS = (9, 3, 1)  # of a link with this number of boxes at its ends: arrows that pass rows are to be straight
STYLE = """
.ground { fill: #fbfbfd } .box { fill: #e6eefb; stroke: #3b6cb7 } .arrow { stroke: #66707f; fill: none }
.head { fill: #66707f } text { fill: #14213d; font: 12px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace }
@media (prefers-color-scheme: dark) {
.ground { fill: #14181f } .box { fill: #22324d; stroke: #7fa8e6 } .arrow { stroke: #98a3b3 } .head { fill: #98a3b3 }
text { fill: #e8eefb } }
"""


@dataclass(eq=False)
class Node:
    """A box, or the place where an arrow passes a row."""

    label: str = ""
    x: float = WIDTH / 2

    @property
    def width(self) -> float:
        """The width of the box, or 0."""
        return len(self.label) * LETTER + 2 * PADDING if self.label else 0


Link = tuple[Node, Node]  # from a node to one in the row below
Pull = tuple[float, float]  # a place and a weight


def reduced(imports: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Leave out the imports that follow from others. Raise KeyError if one does not point downwards."""
    below: dict[str, set[str]] = {}
    for name, others in imports.items():
        below[name] = others.union(*(below[other] for other in others))
    return {name: others.difference(*(below[other] for other in others)) for name, others in imports.items()}


def layout(imports: Mapping[str, set[str]]) -> tuple[list[list[Node]], list[list[Link]]]:
    """Place the boxes and the arrows; return the nodes of each row, and each arrow as a chain of links."""
    drawn = {name for name, others in imports.items() if others}.union(*imports.values())
    rows = [[Node(name) for name in row if name in drawn] for row in ORDER]
    places = {node.label: (number, node) for number, row in enumerate(rows) for node in row}
    chains = []
    for name, others in imports.items():
        for other in sorted(others):
            (top, start), (bottom, end) = places[name], places[other]
            passed = [Node() for _ in range(top - bottom - 1)]
            for number, node in zip(range(top - 1, bottom, -1), passed, strict=True):
                rows[number].append(node)
            nodes = [start, *passed, end]
            chains.append(list(itertools.pairwise(nodes)))
    links = [link for chain in chains for link in chain]
    rows = untangled(rows, links)
    for _ in range(SWEEPS):
        for row in [*rows, *rows[::-1]]:
            place(row, [pull(node, links, [0, 1], STIFFNESS) for node in row])
    stretch([node for row in rows for node in row])
    return rows, chains


def untangled(rows: list[list[Node]], links: list[Link]) -> list[list[Node]]:
    """Sort each row by the neighbours above or below, again and again; return the order with the fewest crossings."""
    best, fewest = rows, float("inf")
    for sweep in range(SWEEPS):
        side = 1 - sweep % 2  # 0 is above, 1 is below
        for row in rows if side else rows[::-1]:
            pulls = {node: pull(node, links, [side]) for node in row}
            row.sort(key=pulls.__getitem__)
            place(row, [(node.x, 1) for node in row])
        if crossings(rows, links) < fewest:
            best, fewest = [row.copy() for row in rows], crossings(rows, links)
    for row in best:
        place(row, [(node.x, 1) for node in row])
    return best


def pull(node: Node, links: Iterable[Link], sides: list[int], stiffness: tuple[int, ...] = (1, 1, 1)) -> Pull:
    """Return the mean place of the neighbours on these sides, and their weight."""
    found = [
        (link[side].x, stiffness[bool(node.label) + bool(link[side].label)])
        for side in sides
        for link in links
        if link[1 - side] is node
    ]
    return mean(found) if found else (node.x, 1)


def mean(pulls: Iterable[Pull]) -> Pull:
    """Return the weighted mean of the places, and the sum of the weights."""
    total = sum(weight for _, weight in pulls)
    return sum(x * weight for x, weight in pulls) / total, total


def crossings(rows: list[list[Node]], links: list[Link]) -> int:
    """Count the pairs of links that cross."""
    at = {node: (number, place) for number, row in enumerate(rows) for place, node in enumerate(row)}
    ends = [(at[start][0], at[start][1], at[end][1]) for start, end in links]
    return sum(a[0] == b[0] and a[1] < b[1] and a[2] > b[2] for a in ends for b in ends)


def place(row: list[Node], pulls: list[Pull]) -> None:
    """Move the nodes of a row as near as possible to where they are pulled, apart from one another and in order."""
    offsets = [0.0]
    for left, right in itertools.pairwise(row):
        offsets.append(offsets[-1] + (left.width + right.width) / 2 + GAP)
    blocks: list[list[Pull]] = []  # of nodes that touch
    for (x, weight), offset in zip(pulls, offsets, strict=True):
        blocks.append([(x - offset, weight)])
        while len(blocks) > 1 and mean(blocks[-2]) > mean(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    starts = [mean(block)[0] for block in blocks for _ in block]
    for node, start, offset in zip(row, starts, offsets, strict=True):
        node.x = start + offset


def stretch(nodes: list[Node]) -> None:
    """Move the nodes apart to fill the width of the picture."""
    for _ in range(SWEEPS):  # each time too little, as the outermost boxes keep their width
        left, right = min(node.x - node.width / 2 for node in nodes), max(node.x + node.width / 2 for node in nodes)
        scale = max(1, (WIDTH - 2 * MARGIN) / (right - left))
        for node in nodes:
            node.x = MARGIN + (node.x - left) * scale


def svg() -> str:
    """Return the picture."""
    imports = reduced(imports_of_packages())
    rows, chains = layout(imports)
    width = max(node.x + node.width / 2 for row in rows for node in row) + MARGIN
    height = PITCH * (len(rows) - 1) + HEIGHT + 2 * MARGIN
    y = {node: height - MARGIN - HEIGHT / 2 - PITCH * number for number, row in enumerate(rows) for node in row}
    x = ports(chains)
    text = "; ".join(f"{name} imports {', '.join(sorted(others))}" for name, others in imports.items() if others)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" role="img">',
        f"<title>The packages of lenet and their imports</title>\n<desc>{text}</desc>\n<style>{STYLE}</style>",
        '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path class="head" d="M0 0.5 L8 4 L0 7.5 Z"/></marker>',
        '<rect class="ground" width="100%" height="100%" rx="10"/>',
        *(arrow(chain, y, x) for chain in chains),
        *(box(node, y[node]) for row in rows for node in row if node.label),
        "</svg>\n",
    ]
    return "\n".join(parts)


def ports(chains: list[list[Link]]) -> dict[tuple[Link, Node], float]:
    """Return where each link meets its nodes: side by side at a box, in the order of their other ends."""
    links = [link for chain in chains for link in chain]
    found = {}
    for end in (0, 1):
        for node in {link[end] for link in links}:
            own = sorted((link for link in links if link[end] is node), key=lambda link: link[1 - end].x)
            for place, link in enumerate(own):
                found[link, node] = node.x + (place - (len(own) - 1) / 2) * PORT
    return found


def arrow(chain: list[Link], y: Mapping[Node, float], x: Mapping[tuple[Link, Node], float]) -> str:
    """Draw an arrow, which passes each row as a vertical line."""
    path = ""
    for link in chain:
        (start, end), top, bottom = (x[link, node] for node in link), y[link[0]] + HEIGHT / 2, y[link[1]] - HEIGHT / 2
        middle = (top + bottom) / 2
        path += f" L{start:.0f} {top:.0f}" if path else f"M{start:.0f} {top:.0f}"
        path += f" C{start:.0f} {middle:.0f} {end:.0f} {middle:.0f} {end:.0f} {bottom:.0f}"
    return f'<path class="arrow" marker-end="url(#head)" d="{path}"/>'


def box(node: Node, y: float) -> str:
    """Draw a box with its label."""
    corner = f'x="{node.x - node.width / 2:.0f}" y="{y - HEIGHT / 2:.0f}"'
    return (
        f'<rect class="box" {corner} width="{node.width:.0f}" height="{HEIGHT}" rx="6"/>'
        f'<text x="{node.x:.0f}" y="{y + 4:.0f}" text-anchor="middle">{node.label}</text>'
    )


if __name__ == "__main__":
    OUT.write_text(svg(), "utf-8")
