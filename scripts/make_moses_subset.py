"""Makes jaxalign/data/moses_scaffold_test_5k.npz and its provenance sidecar from the molsets wheel.

    python scripts/make_moses_subset.py [--out DIRECTORY]

Downloads 52 MB into the cache. The selection is the first 5,000 rows of test_scaffolds.csv.gz; the
file comes out the same to the byte (with the same zlib), so its SHA-256 is the check.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
from pathlib import Path

import numpy as np
from provenance import field, write_with_sidecar

from jaxalign.archives.entries import read_entry
from jaxalign.archives.fetch import Archive, fetch

SIZE = 5_000
ENTRY = "moses/dataset/data/test_scaffolds.csv.gz"
ARCHIVE = Archive(
    package="molsets",
    version="0.3.1",
    filename="molsets-0.3.1-py3-none-any.whl",
    sha256="7f4450e3ebecebe79c3a2a55950c93daddee071120daf64a163d03481e811d34",
    size_bytes=51_584_291,
    licence="MIT",
    citation="Polykovskiy et al., Front. Pharmacol. 11, 565644 (2020), "
    "doi:10.3389/fphar.2020.565644",
)


def main(out: Path) -> None:
    text = gzip.decompress(read_entry(fetch(ARCHIVE), ENTRY)).decode()
    rows = list(csv.DictReader(io.StringIO(text)))[:SIZE]
    write_with_sidecar(
        out / "moses_scaffold_test_5k.npz",
        {"smiles": np.array([row["SMILES"] for row in rows])},
        archive=ARCHIVE,
        entries=(ENTRY,),
        selection=f"the first {SIZE} rows",
        script="scripts/make_moses_subset.py",
        fields={"smiles": field("SMILES as the source gives it")},
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("jaxalign/data"))
    main(parser.parse_args().out)
