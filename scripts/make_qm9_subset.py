"""Makes jaxalign/data/qm9_10k.npz and its provenance sidecar from the qm9pack wheel.

    python scripts/make_qm9_subset.py [--out DIRECTORY]

Downloads 104 MB into the cache and runs for about half a minute. The selection is the first 10,000
entries of numpy.random.default_rng(20251203).permutation(130831), in that order; the file comes out
the same to the byte (with the same zlib), so its SHA-256 is the check.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from provenance import field, write_with_sidecar

from jaxalign.archives.fetch import fetch
from jaxalign.archives.pinned import ARCHIVES
from jaxalign.structures import qm9

SEED, SIZE = 20251203, 10_000

FIELDS = {
    "n_atoms": field("atoms of each molecule"),
    "atomic_numbers": field("atomic numbers of all molecules, one after the other"),
    "positions_1e4A": field("Cartesian coordinates, rounded", unit="1e-4 angstrom"),
    "smiles": field("SMILES as the source gives it"),
    "row": field("0-based row in qm9_part1..3.csv taken together"),
    "u0_hartree": field("internal energy at 0 K, B3LYP/6-31G(2df,p)", unit="hartree"),
    "gap_hartree": field("HOMO-LUMO gap, B3LYP/6-31G(2df,p)", unit="hartree"),
}


def main(out: Path) -> None:
    archive = ARCHIVES["qm9pack"]
    everything = qm9.read_qm9pack(fetch(archive))
    rows = np.random.default_rng(SEED).permutation(qm9.ROWS)[:SIZE]
    write_with_sidecar(
        out / "qm9_10k.npz",
        qm9.take_rows(everything, rows),
        archive=archive,
        entries=qm9.ENTRIES,
        selection=f"numpy.random.default_rng({SEED}).permutation({qm9.ROWS})[:{SIZE}]",
        script="scripts/make_qm9_subset.py",
        fields=FIELDS,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("jaxalign/data"))
    main(parser.parse_args().out)
