"""The archives this project reads, each pinned to one file by its SHA-256."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from jaxalign.archives.fetch import Archive

_ARCHIVES = (
    Archive(
        package="rxnfp",
        version="0.1.0",
        filename="rxnfp-0.1.0-py3-none-any.whl",
        sha256="c5c1e818add6f34539a6b29bc680c47c9e7311e9383d1b34ce901481e34b58cf",
        size_bytes=74_671_752,
        licence="MIT",
        citation="Schwaller et al., Nat. Mach. Intell. 3 (2021), doi:10.1038/s42256-020-00284-w",
    ),
    Archive(
        package="rxnmapper",
        version="0.4.3",
        filename="rxnmapper-0.4.3-py3-none-any.whl",
        sha256="27876a4286881aafd286fd6f24a6a56a4ca6ba22d68e035a0ea120106c541ba5",
        size_bytes=3_007_424,
        licence="MIT",
        citation="Schwaller et al., Sci. Adv. 7, eabe4166 (2021), doi:10.1126/sciadv.abe4166",
    ),
    Archive(
        package="admet-ai",
        version="2.0.1",
        filename="admet_ai-2.0.1-py3-none-any.whl",
        sha256="fef3527f637abb00d272cf824e8eef0136fe31ebde6c56881f1a8c02c0417806",
        size_bytes=14_311_533,
        licence="MIT",
        citation="Swanson et al., Bioinformatics 40 (2024), doi:10.1093/bioinformatics/btae416",
    ),
    Archive(
        package="torchani",
        version="2.0",
        filename="torchani-2.0-py3-none-any.whl",
        sha256="87db70affc847c3aa26081607166580a6e6b01f33e09218e2c5b26f66b45ed89",
        size_bytes=21_819_487,
        licence="MIT",
        citation="Gao et al., J. Chem. Inf. Model. 60, 3408 (2020), doi:10.1021/acs.jcim.0c00451",
    ),
    Archive(
        package="qm9pack",
        version="1.0.3",
        filename="qm9pack-1.0.3-py3-none-any.whl",
        sha256="1d88c2988007c6778e717ee3224cf511bd60e10732ebe3b7ed500ea5af05c9f0",
        size_bytes=103_712_597,
        licence="MIT",
        citation="Ramakrishnan et al., Sci. Data 1, 140022 (2014), doi:10.1038/sdata.2014.22",
    ),
)

ARCHIVES: Mapping[str, Archive] = MappingProxyType({entry.package: entry for entry in _ARCHIVES})
"""Pinned archives by package name."""
