"""The data set `proteins`: 2,000 chains of the Protein Data Bank, sequence and backbone, shipped.

A random selection, of 50 to 256 residues, from the chains that ProMod3 builds loops with: every
chain is of the twenty residues alone, with N, CA, C and O of all of them, and has no breaks.
Coordinates are rounded to 0.01 Å, otherwise as the source has them, a few odd bonds included.
Chains of one entry (13 entries have two here) are a group.

References:
  Studer et al., ProMod3 - a versatile homology modelling toolbox, PLoS Comput. Biol. 17, e1008667
  (2021).
  Kabsch and Sander, Dictionary of protein secondary structure, Biopolymers 22, 2577 (1983).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from jaxalign.structures.columns import Columns
from jaxalign.structures.dataset_card import DatasetCard, DatasetReader
from jaxalign.structures.structure import Structure

_PER_ANGSTROM = 100
_HELIX, _STRAND = "HGI", "EB"  # of the eight letters of DSSP


def structures(columns: Columns, rows: np.ndarray) -> Iterator[Structure]:
    """The chains `rows` as records, with ids `proteins/{entry}_{chain}`.

    Args:
      columns: `pdb_chain`, `sequence`, `dssp`, and `backbone_delta_1e2A`: differences between
        successive residues, `[residues of all chains, 12]` in 0.01 Å, the first row absolute.
      rows: positions in `columns`.

    Yields:
      Sequences with backbones in Å; labels are the number of residues, and which fractions of them
      are helix (DSSP H, G, I) and strand (E, B).
    """
    lengths = np.char.str_len(columns["sequence"])
    first = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    flat = np.cumsum(columns["backbone_delta_1e2A"], axis=0, dtype=np.int64)
    for row in rows.tolist():
        residues = slice(first[row], first[row + 1])
        name = str(columns["pdb_chain"][row])
        yield Structure(
            id=f"proteins/{name}",
            sequence=str(columns["sequence"][row]),
            backbone=flat[residues].reshape(-1, 4, 3) / _PER_ANGSTROM,
            labels={
                "residues": float(lengths[row]),
                "helix_fraction": _share(str(columns["dssp"][row]), _HELIX),
                "strand_fraction": _share(str(columns["dssp"][row]), _STRAND),
            },
            group=f"proteins/{name.partition('_')[0]}",
        )


def _share(letters: str, wanted: str) -> float:
    return sum(letter in wanted for letter in letters) / len(letters)


DATASETS = (
    DatasetReader(
        card=DatasetCard(
            name="proteins",
            description="2,000 chains of the Protein Data Bank, 50-256 residues, without breaks",
            size=2_000,
            views=("sequence", "backbone"),
            labels=("residues", "helix_fraction", "strand_fraction"),
            source="promod3-data==3.2.1+ds-6 (Debian)",
            licence="CC0-1.0",
            citation="Studer et al., PLoS Comput. Biol. 17, e1008667 (2021); "
            "Berman et al., Nat. Struct. Biol. 10, 980 (2003)",
            file="proteins_2k.npz",
        ),
        structures=structures,
        rows_within=None,
        counted="pdb_chain",
        unit="chains",
    ),
)
