"""PDB and mmCIF files as text, written here column by column: none of gemmi's own."""

import numpy as np

NAMES = {
    **{"A": "ALA", "C": "CYS", "D": "ASP", "E": "GLU", "F": "PHE", "G": "GLY", "H": "HIS"},
    **{"I": "ILE", "K": "LYS", "L": "LEU", "M": "MET", "N": "ASN", "P": "PRO", "Q": "GLN"},
    **{"R": "ARG", "S": "SER", "T": "THR", "V": "VAL", "W": "TRP", "Y": "TYR", "X": "UNK"},
}
ATOMS = ("N", "CA", "C", "O")
MMCIF = (
    *("group_PDB", "id", "type_symbol", "label_atom_id", "label_alt_id", "label_comp_id"),
    *("label_asym_id", "label_seq_id", "pdbx_PDB_ins_code", "Cartn_x", "Cartn_y", "Cartn_z"),
    *("occupancy", "auth_seq_id", "auth_asym_id", "pdbx_PDB_model_num"),
)


def atom(name, xyz, *, residue, chain="A", number=1, code="", alt="", occupancy=1.0, hetero=False):
    """One atom as a dictionary that both formats are written from."""
    return {
        "name": name,
        "xyz": tuple(float(v) for v in xyz),
        "residue": residue,
        "chain": chain,
        "number": number,
        "code": code,
        "alt": alt,
        "occupancy": occupancy,
        "hetero": hetero,
    }


def atoms_of(sequence, backbone, *, chain="A", numbers=None, names=None):
    """Atoms of a backbone; those with NaN are not written."""
    numbers = range(1, len(sequence) + 1) if numbers is None else numbers
    names = [NAMES[letter] for letter in sequence] if names is None else names
    return [
        atom(name, xyz, residue=residue, chain=chain, number=number)
        for residue, number, row in zip(names, numbers, backbone, strict=True)
        for name, xyz in zip(ATOMS, row, strict=True)
        if np.isfinite(xyz).all()
    ]


def pdb_text(atoms, *, models=1):
    """The fixed columns of the PDB format; numbers above 9999 in hybrid base 36."""
    lines = []
    for model in range(1, models + 1):
        lines += [f"MODEL {model:8d}"] if models > 1 else []
        for count, a in enumerate(atoms, 1):
            record = "HETATM" if a["hetero"] else "ATOM  "
            x, y, z = np.add(a["xyz"], 100.0 * (model - 1))
            lines.append(
                f"{record}{count % 100000:5d}  {a['name']:<3}{a['alt'] or ' '}{a['residue']:>3} "
                f"{a['chain']}{hybrid(a['number'])}{a['code'] or ' '}   "
                f"{x:8.3f}{y:8.3f}{z:8.3f}{a['occupancy']:6.2f}{20:6.2f}          "
                f"{a['name'][0]:>2}"
            )
        lines += ["ENDMDL"] if models > 1 else []
    return "\n".join([*lines, "END", ""])


def hybrid(number):
    if number <= 9999:
        return f"{number:4d}"
    digits, rest = "", number - 10000 + 10 * 36**3
    while rest:
        rest, digit = divmod(rest, 36)
        digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[digit] + digits
    return digits


def mmcif_text(atoms, *, block="TEST"):
    """One data block with a loop of atoms."""
    lines = [f"data_{block}", "#", "loop_", *(f"_atom_site.{tag}" for tag in MMCIF)]
    for count, a in enumerate(atoms, 1):
        x, y, z = a["xyz"]
        lines.append(
            f"{'HETATM' if a['hetero'] else 'ATOM'} {count} {a['name'][0]} {a['name']} "
            f"{a['alt'] or '.'} {a['residue']} {a['chain']} {a['number']} {a['code'] or '?'} "
            f"{x:.3f} {y:.3f} {z:.3f} {a['occupancy']:.2f} {a['number']} {a['chain']} 1"
        )
    return "\n".join([*lines, "#", ""])
