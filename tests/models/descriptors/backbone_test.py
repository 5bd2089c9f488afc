"""Controls on backbones against plain loops, other packages and their invariances."""

import dataclasses
import math

import numpy as np
import pytest
from ase.geometry import get_dihedrals

from jaxalign.models.descriptors.backbone import CONTACT, DISTANCES, ENTRIES, SMOOTH, TORSION_BINS
from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.structures.datasets import load_dataset
from jaxalign.structures.perturb import random_rotation
from jaxalign.structures.structure import Structure

ENCODERS = {entry.card.id: entry.build(entry) for entry in ENTRIES}


@pytest.fixture(scope="module")
def chains():
    """Real ones, one with missing atoms and one with a break."""
    found = [*load_dataset("proteins", n=8, seed=3)]
    holes = found[0].backbone.copy()
    holes[[5, 9], 1] = holes[20] = holes[0, 2] = np.nan
    kept = np.r_[0:30, 36 : len(found[1].backbone)]
    return [
        *found,
        dataclasses.replace(found[0], id="holes", backbone=holes),
        Structure(id="break", backbone=found[1].backbone[kept], residue_numbers=kept.astype("i4")),
    ]


def pairs(chain):
    alpha = chain.backbone[:, 1]
    return [
        math.dist(alpha[i], alpha[j])
        for i in range(len(alpha))
        for j in range(i + 3, len(alpha))
        if np.isfinite(alpha[[i, j]]).all()
    ]


def test_distances_contacts_and_size_by_plain_loops(chains):
    rows = {name: encoder.embed(chains) for name, encoder in ENCODERS.items()}
    step = DISTANCES[1] - DISTANCES[0]
    for number in (0, 8, 9):
        chain = chains[number]
        shares = np.zeros(len(DISTANCES))
        contacts = 0.0
        for distance in pairs(chain):
            at = min(max((distance - DISTANCES[0]) / step, 0), len(DISTANCES) - 1)
            low = min(int(at), len(DISTANCES) - 2)
            shares[low] += 1 - (at - low)
            shares[low + 1] += at - low
            contacts += min(max((CONTACT + SMOOTH - distance) / (2 * SMOOTH), 0), 1)
        found = rows["backbone-distances"][number]
        np.testing.assert_allclose(found, shares / shares.sum(), atol=1e-6)
        alpha = chain.backbone[:, 1]
        alpha = alpha[np.isfinite(alpha).all(axis=1)]
        density, one = rows["contact-density"][number]
        assert density == pytest.approx(contacts / len(alpha), rel=1e-5)
        assert one == 1
        radius = math.sqrt(np.mean([math.dist(a, alpha.mean(axis=0)) ** 2 for a in alpha]))
        assert rows["radius-of-gyration"][number, 0] == pytest.approx(radius, rel=1e-5)
    # About three to four contacts a residue, and the radius of a globule of that size.
    assert 1.5 < np.median(rows["contact-density"][:, 0]) < 6
    assert 9 < np.median(rows["radius-of-gyration"][:, 0]) < 25


def test_torsions_against_ase(chains):
    rows = ENCODERS["backbone-torsions"].embed(chains).reshape(-1, TORSION_BINS, TORSION_BINS)
    for row, chain in zip(rows, chains, strict=True):
        numbers = chain.residue_numbers
        numbers = np.arange(len(chain.backbone)) if numbers is None else numbers
        expected, count = np.zeros((TORSION_BINS, TORSION_BINS)), 0
        for i in range(1, len(chain.backbone) - 1):
            before, here, after = chain.backbone[i - 1 : i + 2]
            five = np.stack([before[2], *here[:3], after[0]])
            if np.isnan(five).any() or numbers[i + 1] - numbers[i - 1] > 2:
                continue
            steps = np.diff(five, axis=0)
            angles = get_dihedrals(steps[:2], steps[1:3], steps[2:4]) + 180
            at = angles % 360 / (360 / TORSION_BINS)
            low, share = at.astype(int), at % 1
            for a, weight_a in ((low[0], 1 - share[0]), (low[0] + 1, share[0])):
                for b, weight_b in ((low[1], 1 - share[1]), (low[1] + 1, share[1])):
                    expected[a % TORSION_BINS, b % TORSION_BINS] += weight_a * weight_b
            count += 1
        np.testing.assert_allclose(row, expected / count, atol=1e-5)


def test_helices_and_strands_are_where_ramachandran_has_them():
    chains = load_dataset("proteins")
    for label, phi, psi in (("helix_fraction", -60, -45), ("strand_fraction", -120, 135)):
        chain = max(chains, key=lambda c: c.labels[label])
        row = ENCODERS["backbone-torsions"].embed([chain]).reshape(TORSION_BINS, TORSION_BINS)
        at = np.array(np.unravel_index(row.argmax(), row.shape)) * 30 - 180
        assert np.abs(at - [phi, psi]).max() <= 45


@pytest.mark.parametrize("name", ENCODERS)
def test_invariance_and_rows_of_their_own(name, chains, rng):
    encoder = ENCODERS[name]
    values = encoder.embed(chains)
    assert values.shape == (len(chains), encoder.card.width)
    turned = [
        dataclasses.replace(c, backbone=c.backbone @ random_rotation(rng) + rng.normal(size=3))
        for c in chains
    ]
    np.testing.assert_allclose(encoder.embed(turned), values, atol=1e-5)
    bare = [dataclasses.replace(c, id="x", sequence=None, labels={}) for c in chains]
    np.testing.assert_array_equal(encoder.embed(bare[::-1]), values[::-1])


def test_mirror_images_differ_in_torsions_alone(chains):
    mirrored = [dataclasses.replace(c, backbone=c.backbone * [1, 1, -1]) for c in chains[:3]]
    for name, encoder in ENCODERS.items():
        same = np.allclose(encoder.embed(mirrored), encoder.embed(chains[:3]), atol=1e-6)
        assert same == (name != "backbone-torsions")


def test_a_long_chain_in_pieces(rng):
    walk = np.cumsum(rng.normal(size=(1_500, 1, 3)) * 2, axis=0) + rng.normal(size=(1, 4, 3))
    values = ENCODERS["backbone-distances"].embed([Structure(id="long", backbone=walk)])
    np.testing.assert_allclose(values.sum(), 1, rtol=1e-5)


def test_refusals_name_the_structure(chains):
    nothing = np.full((9, 4, 3), np.nan)
    bad = [
        Structure(id="bad", sequence="MKV"),
        Structure(id="bad", backbone=nothing),
        Structure(id="bad", backbone=chains[0].backbone[:2]),
        Structure(id="bad", backbone=np.zeros((0, 4, 3))),
    ]
    for name, encoder in ENCODERS.items():
        for structure in bad:
            with pytest.raises(UnsupportedStructureError, match="'bad'"):
                encoder.embed([structure])
        assert "backbone" in encoder.card.family, name
