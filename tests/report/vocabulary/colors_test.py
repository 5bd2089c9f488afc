import numpy as np
import pytest

from jaxalign.report.vocabulary.colors import ink, modality_colors, scale


def lightness(rgb):
    """CIELAB L* by its definition, written independently of the module."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    y = 0.2126729 * linear[0] + 0.7151522 * linear[1] + 0.0721750 * linear[2]
    return 116 * y ** (1 / 3) - 16 if y > (6 / 29) ** 3 else y * (29 / 3) ** 3


def test_equal_steps_of_value_are_equal_steps_of_lightness():
    colors = scale(0.0, 0.8)
    steps = np.diff([lightness(colors.color(v)) for v in np.linspace(0, 0.8, 9)])
    np.testing.assert_allclose(steps, steps.mean(), rtol=0.06)
    assert steps.mean() < -5


def test_equal_magnitudes_have_equal_lightness_but_different_hue():
    colors = scale(-0.4, 0.8)
    below, above = colors.color(-0.4), colors.color(0.4)
    assert lightness(below) == pytest.approx(lightness(above), abs=2.5)
    assert below[0] > below[2]
    assert above[0] < above[2]
    assert lightness(colors.color(0.0)) > 96


def test_zero_is_always_on_the_scale():
    assert (scale(0.3, 0.8).low, scale(0.3, 0.8).high) == (0.0, 0.8)
    assert (scale(-0.8, -0.3).low, scale(-0.8, -0.3).high) == (-0.8, 0.0)
    flat = scale(0.0, 0.0)
    assert flat.high > flat.low


def test_the_best_value_of_a_distance_is_dark():
    colors = scale(0.0, 1.0, dark="low")
    assert lightness(colors.color(0.0)) < 30 < 90 < lightness(colors.color(1.0))


def test_ink_has_contrast_on_every_color_of_the_scale():
    colors = scale(-1.0, 1.0)
    for value in np.linspace(-1, 1, 41):
        rgb = colors.color(float(value))
        background = ((lightness(rgb) + 16) / 116) ** 3 if lightness(rgb) > 8 else 0.0
        text = 1.0 if ink(rgb) == "#ffffff" else 0.0056
        dark, light = sorted((background, text))
        assert (light + 0.05) / (dark + 0.05) > 3.9


def test_modality_colors_are_stable_and_different():
    few, many = modality_colors(["3d"]), modality_colors(["graph", "3d", "", "my sensor", "3d"])
    assert few["3d"] == many["3d"]
    assert len(set(many.values())) == 4
