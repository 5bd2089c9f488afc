"""Drawings of molecules as SVG: a structure, and what two models take for its nearest neighbors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from rdkit import Chem, rdBase
from rdkit.Chem.Draw import rdMolDraw2D


def draw_molecules(
    smiles: Sequence[str],
    *,
    legends: Sequence[str] | None = None,
    columns: int = 4,
    size: tuple[int, int] = (200, 170),
) -> str:
    """A grid of molecules.

    Args:
      smiles: one a molecule; an empty one leaves its place free.
      legends: one a molecule, below it; None for none.
      columns: molecules a line.
      size: width and height of one, pixels.

    Returns:
      One SVG element, without XML declaration, on a transparent ground.

    Raises:
      ValueError: no molecule, unequal numbers, or a SMILES that RDKit does not read.
    """
    legends = [""] * len(smiles) if legends is None else list(legends)
    if not smiles or len(legends) != len(smiles) or columns < 1:
        raise ValueError(
            f"a drawing needs molecules, a legend each and columns: got {len(smiles)} SMILES, "
            f"{len(legends)} legends and {columns} columns"
        )
    molecules = [_molecule(text) for text in smiles]
    columns = min(columns, len(smiles))
    lines = -(-len(smiles) // columns)
    canvas = rdMolDraw2D.MolDraw2DSVG(columns * size[0], lines * size[1], *size)
    options = canvas.drawOptions()
    options.clearBackground = False
    options.legendFontSize = 14
    canvas.DrawMolecules(molecules, legends=legends)
    canvas.FinishDrawing()
    text = canvas.GetDrawingText()
    return text[text.index("<svg") :]


def draw_disputed(row: pd.Series, smiles: Mapping[str, str], *, count: int = 3) -> str:
    """One disputed structure in front of its nearest neighbors: first model above, second below.

    Args:
      row: of `disputed_structures`.
      smiles: structure id → SMILES; places of structures without one stay free.
      count: neighbors of each model.

    Returns:
      One SVG element of two lines of 1 + `count` molecules, legends with the ids.
    """
    texts, legends = [], []
    for side, own in (("a", str(row["structure"])), ("b", "")):
        near = list(row[f"neighbors_{side}"][:count])
        near += [""] * (count - len(near))
        for name in (own, *near):
            texts.append(smiles.get(name) or "")
            legends.append(name)
    return draw_molecules(texts, legends=legends, columns=count + 1)


def _molecule(text: str) -> Chem.Mol:
    with rdBase.BlockLogs():  # the error names the SMILES
        molecule = Chem.MolFromSmiles(text)
    if molecule is None:
        raise ValueError(f"RDKit does not read the SMILES {text!r}")
    return molecule
