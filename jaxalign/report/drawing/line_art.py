"""Drawings of molecules on paper: the paths of an SVG of RDKit as patches of matplotlib.

RDKit writes bonds, letters and legends as paths of straight lines and curves, so that these few
commands of SVG are all that is read; they stay lines at any size.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree

from matplotlib.axes import Axes
from matplotlib.patches import Ellipse, PathPatch
from matplotlib.path import Path
from matplotlib.transforms import Affine2D

_POINTS = {"M": 1, "L": 1, "Q": 2, "C": 3, "Z": 0}  # of each command of a path
_CODES = {"M": Path.MOVETO, "L": Path.LINETO, "Q": Path.CURVE3, "C": Path.CURVE4}
_TOKEN = re.compile(r"[A-Za-z]|-?\d*\.?\d+(?:e-?\d+)?")


def drawing_size(svg: str) -> tuple[float, float]:
    """Width and height of a drawing in pixels.

    Raises:
      ValueError: it states none.
    """
    found = re.search(r"viewBox='0 0 ([\d.]+) ([\d.]+)'", svg)
    if found is None:
        raise ValueError(f"a drawing of RDKit states its viewBox: got {svg[:80]!r}")
    return float(found[1]), float(found[2])


def draw_line_art(axes: Axes, svg: str, *, left: float, top: float, width: float) -> None:
    """Places a drawing on a sheet.

    Args:
      axes: of `canvas.sheet`, in inches.
      svg: of `draw_molecules`.
      left: of its left side, inches.
      top: of its upper side, inches from the lower side of the sheet.
      width: inches.

    Raises:
      ValueError: paths with other commands than M, L, Q, C and Z.
    """
    scale = width / drawing_size(svg)[0]
    place = Affine2D().scale(scale, -scale).translate(left, top) + axes.transData
    for element in ElementTree.fromstring(svg).iter():
        tag, style = element.tag.rpartition("}")[2], _style(element.attrib)
        look = {
            "facecolor": style.get("fill", "none"),
            "edgecolor": style.get("stroke", "none"),
            "linewidth": float(style.get("stroke-width", "0").removesuffix("px")) * scale * 72,
            "transform": place,
            "capstyle": "butt",
        }
        if tag == "path":
            axes.add_patch(PathPatch(_path(element.attrib["d"]), **look))
        elif tag == "ellipse":
            center, radii = (
                [float(element.attrib[name]) for name in names]
                for names in (("cx", "cy"), ("rx", "ry"))
            )
            axes.add_patch(Ellipse(center, 2 * radii[0], 2 * radii[1], **look))


def _style(attributes: Mapping[str, str]) -> dict[str, str]:
    pairs = [part.split(":", 1) for part in attributes.get("style", "").split(";") if ":" in part]
    return dict(attributes) | {name.strip(): value.strip() for name, value in pairs}


def _path(text: str) -> Path:
    words, vertices, codes = _TOKEN.findall(text), [], []
    place, command = 0, ""
    while place < len(words):
        if words[place].isalpha():
            command, place = words[place], place + 1
        if command not in _POINTS:
            raise ValueError(f"a path of a drawing has the command {command!r}: expected M L Q C Z")
        if command == "Z":
            vertices.append((0.0, 0.0))
            codes.append(Path.CLOSEPOLY)
            continue
        count = _POINTS[command]
        numbers = [float(word) for word in words[place : place + 2 * count]]
        vertices += zip(numbers[::2], numbers[1::2], strict=True)
        codes += [_CODES[command]] * count
        place += 2 * count
    return Path(vertices, codes)
