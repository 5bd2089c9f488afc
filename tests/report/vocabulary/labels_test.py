from jaxalign.report.vocabulary import labels


def test_scores_read_well():
    assert labels.score(0.01234567) == "0.0123"
    assert labels.score(-0.25) == "−0.250"
    assert labels.score(float("nan")) == labels.score(None) == "–"
    assert labels.fixed(-0.0004, 2) == "0.00"


def test_counts_and_lists():
    assert labels.count(1, "family", "families") == "1 family"
    assert labels.count(1234, "pair") == "1,234 pairs"
    assert labels.joined(["a", "b", "c"]) == "a, b and c"


def test_short_names_are_short_and_different():
    names = [f"{'x' * 40}{i}{'y' * 40}" for i in range(12)] + ["short", "new\nline", "模型"]
    short = labels.short_names(names, limit=20)
    assert len(set(short)) == len(names)
    assert max(map(len, short)) <= 20
    assert short[12:14] == ["short", "new?line"]
    assert short[0].startswith("xxxx")
    assert "…" in short[0]
