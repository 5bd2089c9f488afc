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
    Archive(
        package="auto3d",
        version="3.2.3",
        filename="auto3d-3.2.3-py3-none-any.whl",
        sha256="a61dbfdfeacd967c0f1c0cef42f73094f911fd97b08381d6b3e1fb088443d5eb",
        size_bytes=6_948_435,
        licence="MIT",
        citation="Liu et al., J. Chem. Inf. Model. 62, 5373 (2022), doi:10.1021/acs.jcim.2c00817",
    ),
    Archive(
        package="biotite",
        version="1.6.0",
        # One wheel of several: the data in it are the same whatever machine it was built for.
        filename="biotite-1.6.0-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl",
        sha256="f1179c10d8beeb95fe5c11db0ee5384501d97d28cedee8c60edc044d96fbf6c4",
        size_bytes=55_651_123,
        licence="BSD-3-Clause",
        citation="Westbrook et al., Bioinformatics 31, 1274 (2015), "
        "doi:10.1093/bioinformatics/btu789",
        python_version="3.11",
        platform="manylinux_2_28_x86_64",
    ),
    Archive(
        package="core-mof",
        version="2019.1",
        filename="core_mof-2019.1-py3-none-any.whl",
        sha256="852af4c604148585eca6cfd75832c4b4967a1bded76381d4b914dcd2317f6823",
        size_bytes=45_111_678,
        licence="MIT",
        citation="Chung et al., J. Chem. Eng. Data 64, 5985 (2019), doi:10.1021/acs.jced.9b00835",
    ),
    Archive(
        package="so3krates-torch",
        version="0.2.1",
        filename="so3krates_torch-0.2.1-py3-none-any.whl",
        sha256="1e3aea516997290462a280a64486ce022472dbe1edbdab81f8446587a61899d2",
        size_bytes=2_977_241,
        licence="MIT",
        citation="Kabylda et al., J. Am. Chem. Soc. (2025), doi:10.1021/jacs.5c09558",
    ),
    Archive(
        package="chgnet",
        version="0.4.2",
        # Wheels of other machines hold the same weights beside other compiled code.
        filename="chgnet-0.4.2-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        sha256="f60a3ed0dacc4657c511807eb1de44e12654e54d8f5a0cc483d1255564fb378a",
        size_bytes=13_679_551,
        licence="BSD-3-Clause-LBNL",
        citation="Deng et al., Nat. Mach. Intell. 5, 1031 (2023), doi:10.1038/s42256-023-00716-3",
        python_version="3.11",
        platform="manylinux2014_x86_64",
    ),
    Archive(
        package="sevenn",
        version="0.13.0",
        filename="sevenn-0.13.0-py3-none-any.whl",
        sha256="9378f7df2b75fe83274483a5f804790ae1023dd22ddeb6a48c1a03de97e22620",
        size_bytes=43_193_213,
        licence="MIT",
        citation="Park et al., J. Chem. Theory Comput. 20, 4857 (2024), "
        "doi:10.1021/acs.jctc.4c00190",
    ),
)

ARCHIVES: Mapping[str, Archive] = MappingProxyType({entry.package: entry for entry in _ARCHIVES})
"""Pinned archives by package name."""
