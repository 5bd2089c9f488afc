"""What several processes do is in tests/embeddings/processes_test.py; here is one alone."""

import json

import pytest

from jaxalign.parallel import failures
from jaxalign.parallel.failures import stop_together
from jaxalign.types import JaxalignError


class _OwnError(JaxalignError):
    pass


def test_one_process_keeps_its_own_error():
    error = _OwnError("mine")
    with pytest.raises(_OwnError) as caught, stop_together():
        raise error
    assert caught.value is error
    with pytest.raises(KeyboardInterrupt), stop_together():
        raise KeyboardInterrupt
    with stop_together():
        pass


@pytest.mark.parametrize(
    ("stated", "kind", "text"),
    [
        ([None, ["_OwnError", "theirs"]], _OwnError, "theirs"),
        ([["ValueError", "first"], ["_OwnError", "theirs"]], ValueError, "first"),
        ([None, ["SomethingElse", "odd"]], JaxalignError, "odd"),
    ],
)
@pytest.mark.parametrize("fails", [False, True])
def test_all_raise_what_the_first_one_raised(monkeypatch, stated, kind, text, fails):
    monkeypatch.setattr(
        failures, "exchange_objects", lambda mine: json.loads(json.dumps([*stated, mine]))
    )
    with pytest.raises(kind, match=text) as caught, stop_together():
        _fail(fails)
    assert type(caught.value) is kind


def _fail(fails):
    if fails:
        raise _OwnError("mine")
