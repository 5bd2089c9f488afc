import gzip

import pytest

from jaxalign.structures.fasta_files import clean_sequence
from jaxalign.structures.readers import StructureError, read_structures

TWENTY = "ACDEFGHIKLMNPQRSTVWY"


@pytest.fixture
def read(tmp_path):
    def reading(text, name="p.fasta", **arguments):
        path = tmp_path / name
        data = text.encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return read_structures(path, **arguments)

    return reading


@pytest.mark.parametrize("name", ["p.fasta", "p.fa", "p.faa.gz", "p.fas"])
def test_entries(read, name):
    found = read(
        "; a comment\n"
        ">sp|P1|ONE_HUMAN Protein one OS=Homo sapiens\n"
        f"{TWENTY}\r\n"
        "\n"
        "acdef ghi\n"
        ">two\tmore\n"
        "MK-LV..W*\n"
        ">\n"
        "GG\n",
        name,
    )
    assert found.ids == ("sp|P1|ONE_HUMAN", "two", "p/2")
    assert [s.sequence for s in found] == [TWENTY + "ACDEFGHI", "MKLVW", "GG"]
    assert found[1].labels == {"residues": 5.0}
    assert found[0].backbone is None
    assert found[0].residue_numbers is None


def test_letters_beyond_the_twenty_become_x():
    assert clean_sequence("MBJOUXZm") == "MXXXXXXM"


def test_bad_records_name_their_line(read):
    text = ">a\nMKL\n>empty\n\n>b\nMK1L\n>c\nM*K\n>d\n*\n>e\nMKV\n>f\n" + "ACGT" * 20 + "\n"
    with pytest.raises(
        StructureError, match=r"record 1 \(line 3\).*'empty': the sequence is empty"
    ):
        read(text)
    found = read(text, on_error="skip")
    assert found.ids == ("a", "e")
    reasons = [skipped.reason for skipped in found.skipped]
    for reason, expected in zip(
        reasons,
        (
            "the sequence is empty",
            "character 3, '1', is no residue",
            "character 2, '*', is a stop codon inside",
            "the sequence is empty",
            "these are nucleotides",
        ),
        strict=True,
    ):
        assert expected in reason
    assert "record 2 (line 5)" in found.skipped[1].where


def test_duplicates_and_text_before_the_first_header(read):
    with pytest.raises(
        StructureError, match=r"'a' names record 0 \(line 1\) and record 1 \(line 3"
    ):
        read(">a x\nMK\n>a y\nML\n", on_error="skip")
    with pytest.raises(StructureError, match="line 2: text before the first header"):
        read("\nMKL\n>a\nMK\n")
    with pytest.raises(StructureError, match="no usable record"):
        read("; nothing\n")
    with pytest.raises(ValueError, match="fasta files have no use for id_column"):
        read(">a\nMK\n", id_column="x")


def test_a_short_protein_of_four_letters_and_a_long_one(read, rng):
    assert read(">a\nGATTACA\n")[0].sequence == "GATTACA"
    long = "".join(rng.choice(list(TWENTY), 10_000))
    lines = "\n".join(long[at : at + 60] for at in range(0, len(long), 60))
    assert read(f">titin piece\n{lines}\n>next\nM\n")[0].sequence == long
