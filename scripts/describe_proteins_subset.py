"""Checks jaxalign/data/proteins_2k.npz and writes its provenance sidecar.

    python scripts/describe_proteins_subset.py [--file PATH]

The source, ProMod3's database of structures, is a Debian package of 371 MB with binary files of its
own format; the selection was made from it once (NumPy's default_rng(20251203)) and is kept as it
is. So nothing is made anew here: the file's SHA-256 is the check, and what the sidecar says of the
chains is counted again.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np
from provenance import field

from jaxalign.archives.atomic import write_json
from jaxalign.structures.proteins import structures

SHA256 = "ad20b119e0252b293ba3ae0b9d9eafca40c5a568e01cd127d19dfffaf2ab6e17"
SOURCE = {
    "package": "promod3-data (Debian)",
    "version": "3.2.1+ds-6",
    "archive": "promod3-data_3.2.1+ds-6_all.deb",
    "archive_sha256": "7d1011a2686ea92e263f3daf9940f787351ff94f19eb47646c624754d80b8f56",
    "entries": ["structure database of 21,119 chains"],
}
FIELDS = {
    "pdb_chain": field("entry of the Protein Data Bank and name of the chain"),
    "sequence": field("residues as one-letter codes"),
    "backbone_delta_1e2A": field(
        "differences between successive residues of N, CA, C, O (x, y, z each) over all chains; "
        "the first row is absolute",
        unit="1e-2 angstrom",
    ),
    "dssp": field("secondary structure of each residue; C where DSSP has a blank"),
}


def main(path: Path) -> None:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != SHA256:
        raise ValueError(f"{path} has SHA-256 {digest}, expected {SHA256}")
    with np.load(path, allow_pickle=False) as data:
        columns = dict(data)
    chains = list(structures(columns, np.arange(len(columns["pdb_chain"]))))
    lengths = [len(chain.backbone) for chain in chains]
    sidecar = {
        "file": path.name,
        "sha256": digest,
        "source": SOURCE,
        "selection": f"{len(chains):,} of the chains of {min(lengths)} to {max(lengths)} residues, "
        "numpy.random.default_rng(20251203); N, CA, C and O alone, rounded to 0.01 angstrom",
        "licence": "CC0-1.0",
        "citation": "Studer et al., PLoS Comput. Biol. 17, e1008667 (2021), "
        "doi:10.1371/journal.pcbi.1008667; Berman et al., Nat. Struct. Biol. 10, 980 (2003), "
        "doi:10.1038/nsb1203-980",
        "script": "scripts/describe_proteins_subset.py",
        "fields": {
            name: {"dtype": str(array.dtype), "shape": list(array.shape), **FIELDS[name]}
            for name, array in columns.items()
        },
    }
    write_json(path.with_suffix(".json"), sidecar)
    print(f"{path}: {len(chains):,} chains, {sum(lengths):,} residues")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", type=Path, default=Path("jaxalign/data/proteins_2k.npz"))
    main(parser.parse_args().file)
