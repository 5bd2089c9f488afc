"""Colours that stay readable: scales with equal steps of lightness, and one colour a modality."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.colors import ListedColormap, to_hex
from scipy.interpolate import PchipInterpolator

DIAGONAL = "#d9d9d9"
MISSING = "#ffffff"

# Anchors of the two arms; the steps between them are taken at equal lightness, so only their hue
# and chroma matter. Blue-green against orange-brown survives all common colour-vision deficiencies.
_POSITIVE = ("#f9f8f4", "#cfe6d6", "#86c3c3", "#3f93b5", "#2a619c", "#23306b")
_NEGATIVE = ("#f9f8f4", "#f6d3ad", "#e59c60", "#bd6430", "#823c1c", "#4f2310")

# The same on dark paper: zero is near the paper, and more is lighter, from blue to pale yellow.
_POSITIVE_ON_DARK = ("#20252d", "#1f4468", "#2c7391", "#5aa9a6", "#b1d69f", "#fbf4c4")
_NEGATIVE_ON_DARK = ("#20252d", "#5b3120", "#9c522c", "#dc9157", "#f2c195", "#fbe8d3")

# Okabe & Ito (2008), "Color Universal Design".
_MODALITIES = {
    "string": "#e69f00",
    "graph": "#009e73",
    "3d": "#0072b2",
    "protein-sequence": "#cc79a7",
    "protein-structure": "#d55e00",
    "text": "#56b4e9",
    "control": "#8c8c8c",
}
_FURTHER = ("#7b5ea7", "#b8a800", "#6b4226", "#2f4b4b", "#b2455e", "#4c9f9f")
_UNSTATED = "#c9c9c9"

_TO_XYZ = np.array(  # linear sRGB to CIE XYZ (D65), IEC 61966-2-1
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
_WHITE = _TO_XYZ.sum(axis=1)


@dataclasses.dataclass(frozen=True, eq=False)
class Scale:
    """A colour scale tied to its range.

    Attributes:
      cmap: colours from `low` to `high`.
      low: value of the first colour; at most 0, so that zero is always on the scale.
      high: value of the last colour; at least 0.
    """

    cmap: ListedColormap
    low: float
    high: float

    def color(self, value: float) -> tuple[float, float, float]:
        """RGB of a finite value; values outside the range take the colour of the nearer end."""
        position = (value - self.low) / (self.high - self.low)
        return self.cmap(float(np.clip(position, 0.0, 1.0)))[:3]


def scale(low: float, high: float, *, dark: str = "high", colors: int = 256) -> Scale:
    """Colour scale in which equal steps of value are equal steps of lightness away from zero.

    Zero is near white. The arm with the larger reach ends dark, the other one is cut where its
    values end, so that equal magnitudes have equal lightness whatever their sign.

    Args:
      low: smallest value to show; 0 is used if it is positive.
      high: largest value to show; 0 is used if it is negative.
      dark: `"high"` for similarities; `"low"` for distances, whose best value 0 is then dark and
        whose scale has one arm only.
      colors: number of colours.

    Returns:
      The scale with its range.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    if high - low == 0.0:
        high = 1.0
    if dark == "low":
        reach = (high - np.linspace(low, high, colors)) / (high - low)
    else:
        reach = np.linspace(low, high, colors) / max(-low, high)
    rgb = np.where(reach[:, None] >= 0, _arm(_POSITIVE, reach), _arm(_NEGATIVE, -reach))
    return Scale(cmap=ListedColormap(rgb), low=low, high=high)


def page_colors(steps: int = 24) -> dict[str, dict[str, list[str]]]:
    """The two arms of the scale for each theme of the page, hex colors from zero outwards.

    Args:
      steps: colors of an arm.

    Returns:
      `{"light" | "dark": {"positive" | "negative": [...]}}`.
    """
    reach = np.linspace(0.0, 1.0, steps)
    themes = {
        "light": {"positive": _POSITIVE, "negative": _NEGATIVE},
        "dark": {"positive": _POSITIVE_ON_DARK, "negative": _NEGATIVE_ON_DARK},
    }
    return {
        theme: {name: [to_hex(rgb) for rgb in _arm(arm, reach)] for name, arm in arms.items()}
        for theme, arms in themes.items()
    }


def modality_colors(modalities: Sequence[str]) -> dict[str, str]:
    """One colour for every modality named, the same in every report for the known ones.

    Args:
      modalities: modality names, with repetitions; an empty name means "not stated".

    Returns:
      Modality → hex colour, known modalities first, then others in alphabetic order.
    """
    named = set(modalities)
    known = {name: color for name, color in _MODALITIES.items() if name in named}
    others = sorted(named - set(_MODALITIES) - {""})
    known |= {name: _FURTHER[i % len(_FURTHER)] for i, name in enumerate(others)}
    return known | ({"": _UNSTATED} if "" in named else {})


def ink(rgb: Sequence[float]) -> str:
    """White where it reaches a contrast of 4:1 on the background, else black (at least 5:1).

    White wins on saturated blue although black would score a little higher there: it reads better.
    """
    luminance = float(_linear(np.asarray(rgb[:3], np.float64)) @ _TO_XYZ[1])
    return "#ffffff" if 1.05 / (luminance + 0.05) >= 4.0 else "#111111"


def _arm(anchors: tuple[str, ...], reach: Float[np.ndarray, " c"]) -> Float[np.ndarray, "c 3"]:
    """Colours at `reach` 0 (first) to 1 (last), linear in the lightness L* of CIELAB."""
    lab = _lab(np.array([[int(h[i : i + 2], 16) / 255 for i in (1, 3, 5)] for h in anchors]))
    lightness = np.interp(np.clip(reach, 0.0, 1.0), [0.0, 1.0], lab[[0, -1], 0])
    rising = lab[np.argsort(lab[:, 0])]
    hue = PchipInterpolator(rising[:, 0], rising[:, 1:])(lightness)
    return _rgb(np.concatenate([lightness[:, None], hue], axis=1))


def _linear(rgb: Float[np.ndarray, "... 3"]) -> Float[np.ndarray, "... 3"]:
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def _lab(rgb: Float[np.ndarray, "... 3"]) -> Float[np.ndarray, "... 3"]:
    ratio = (_linear(rgb) @ _TO_XYZ.T) / _WHITE
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def _rgb(lab: Float[np.ndarray, "... 3"]) -> Float[np.ndarray, "... 3"]:
    y = (lab[..., 0] + 16) / 116
    f = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * _WHITE
    linear = np.clip(xyz @ np.linalg.inv(_TO_XYZ).T, 0.0, 1.0)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
