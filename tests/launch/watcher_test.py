"""The child that says what ended its parent."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from jaxalign.launch.watcher import last_words

SAID = b"aborted by JAX\nkilled by the kernel\n"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (SAID, "by the kernel"),
        (SAID + b"\x06", "by JAX"),
        (b"aborted a\nkilled b\n\x02" + SAID + b"\x06", "by JAX"),
        (SAID + b"bye\n", ""),
        (SAID + b"\x06bye\n", ""),
        (b"", ""),
    ],
)
def test_words_depend_on_how_the_pipe_ends(data, words):
    assert last_words(data) == words


@pytest.mark.parametrize(
    ("end", "code", "words"),
    [
        ("os.abort()", -signal.SIGABRT, "by JAX\n"),
        ("os.kill(os.getpid(), 9)", -signal.SIGKILL, "by the kernel\n"),
        ("watcher.dismiss()", 0, ""),
    ],
)
def test_a_process_that_cannot_speak_any_more_is_spoken_for(end, code, words):
    source = f"""
        import os
        from jaxalign.launch.watcher import Watcher
        watcher = Watcher()
        watcher.expect("by JAX", "by the kernel")
        {end}
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)],
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )
    assert done.returncode == code
    assert done.stderr == words
