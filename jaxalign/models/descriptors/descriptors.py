"""Registry rows of descriptors of atoms in space: SOAP, Coulomb and sine matrices."""

from __future__ import annotations

from jaxalign.models.descriptors import coulomb, soap
from jaxalign.models.descriptors.controls import control_entry
from jaxalign.models.entry import ModelEntry

ENTRIES: tuple[ModelEntry, ...] = (
    control_entry(
        soap.soap,
        id="soap",
        name="SOAP power spectrum, pseudo-elements",
        family="SOAP",
        width=soap.WIDTH,
        citation="Bartók, Kondor, Csányi, Phys. Rev. B 87, 184115 (2013); Himanen et al., Comput. "
        "Phys. Commun. 247, 106949 (2020); Willatt, Musil, Ceriotti, Phys. Chem. Chem. Phys. 20, "
        "29661 (2018)",
        notes=f"Gaussian-type orbitals, n ≤ {soap.RADIAL}, l ≤ {soap.DEGREE}, cutoff "
        f"{soap.CUTOFF:g} Å, σ = {soap.SIGMA:g} Å; mean of the atoms' spectra (outer average), "
        "equal to DScribe's. Three densities stand for all elements, so that the width is one for "
        "molecules and crystals: each atom counts with 1, its covalent radius and its group / 9. "
        "Kept: the geometry, and as much chemistry as size and valence tell, cross terms included. "
        "Lost: which element it is, where radius and group are alike (neighboring lanthanides; "
        "mixtures of elements with equal sums), three-body order beyond the power spectrum, and "
        "which atoms of a structure are alike. Handedness is not seen. Elements 1 to 96.",
    ),
    control_entry(
        coulomb.coulomb_spectrum,
        id="coulomb-matrix",
        name="Coulomb-matrix spectrum",
        family="Coulomb matrix",
        width=coulomb.WIDTH,
        citation="Rupp et al., Phys. Rev. Lett. 108, 058301 (2012)",
        notes="Eigenvalues of the Coulomb matrix (lengths in Å), largest magnitude first, padded "
        f"with zeros to {coulomb.WIDTH}; molecules of at most {coulomb.WIDTH} atoms. Periodic "
        "structures are refused: see 'sine-matrix'.",
    ),
    control_entry(
        coulomb.sine_spectrum,
        id="sine-matrix",
        name="Sine-matrix spectrum",
        family="Coulomb matrix",
        width=coulomb.WIDTH,
        citation="Faber et al., Int. J. Quantum Chem. 115, 1094 (2015)",
        notes="Eigenvalues of the sine matrix (lengths in Å), largest magnitude first, padded with "
        f"zeros to {coulomb.WIDTH}; crystals of at most {coulomb.WIDTH} atoms a cell. It depends "
        "on the choice of the cell: a supercell, or another primitive cell, has another row.",
    ),
)
