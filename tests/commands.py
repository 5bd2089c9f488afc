"""Commands in processes of their own that start at once: forked where everything is imported.

    done = run_command(["-m", "jaxalign.launch", "models", "list"])
    assert done.returncode == 0, done.stdout + done.stderr

Importing jax, pandas and their like takes each process some three seconds, most of a short test. A
server imports them once (`multiprocessing`'s fork server: a process without threads and without
devices), and every command is a fork of it, with an environment, a working directory, standard
streams and an exit status of its own.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import multiprocessing
import os
import runpy
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from subprocess import CompletedProcess


@functools.cache
def server() -> multiprocessing.context.ForkServerContext:
    """The context whose processes are forks of one server that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.imported"])
    return context


@functools.cache
def _programs() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="programs-")


def start_command(
    words: Sequence[str],
    *,
    stdin: str | os.PathLike[str] = os.devnull,
    stdout: str | os.PathLike[str],
    stderr: str | os.PathLike[str],
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
) -> multiprocessing.Process:
    """Starts `python WORDS`, in a session of its own.

    Args:
      words: `["-m", package, …]`, whose `__main__` has a `main`, or `[script, …]`.
      stdin: file to read.
      stdout: file to write.
      stderr: file to write.
      env: all environment variables; None for those of this process.
      cwd: working directory; None for that of this process.
    """
    # What one command compiles, the next of this session does not.
    environment = {"JAX_COMPILATION_CACHE_DIR": _programs().name}
    environment |= dict(os.environ if env is None else env)
    place = os.fspath(cwd or os.getcwd())
    files = (os.fspath(stdin), os.fspath(stdout), os.fspath(stderr))
    process = server().Process(target=_run, args=(list(map(str, words)), environment, place, files))
    process.start()
    return process


def run_command(
    words: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    timeout: float = 300,
) -> CompletedProcess[str]:
    """Runs `python WORDS` to its end.

    Raises:
      AssertionError: it still runs after `timeout` seconds; it is killed.
    """
    with tempfile.TemporaryDirectory(prefix="command-") as folder:
        out, err = (os.path.join(folder, name) for name in ("out", "err"))
        process = start_command(words, stdout=out, stderr=err, env=env, cwd=cwd)
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise AssertionError(f"{words} still runs after {timeout} seconds\n{_read(err)}")
        return CompletedProcess(words, process.exitcode, _read(out), _read(err))


def _read(path: str) -> str:
    with open(path, errors="replace") as file:
        return file.read()


def _run(words: list[str], env: dict[str, str], cwd: str, files: tuple[str, str, str]) -> None:
    """What `python WORDS` does, in a fork: never returns."""
    os.setsid()
    for number, (path, flags) in enumerate(
        zip(files, (os.O_RDONLY, *2 * (os.O_WRONLY | os.O_CREAT | os.O_TRUNC,)), strict=True)
    ):
        os.dup2(os.open(path, flags), number)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", 1 if "PYTHONUNBUFFERED" in env else -1, closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, closefd=False)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    _configure_jax(env)
    os._exit(_status(words))


def _configure_jax(env: Mapping[str, str]) -> None:
    """What jax read of the environment when the server imported it."""
    import jax

    jax.config.update("jax_platforms", env.get("JAX_PLATFORMS") or None)
    jax.config.update("jax_compilation_cache_dir", env["JAX_COMPILATION_CACHE_DIR"] or None)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def _status(words: list[str]) -> int:
    code = 0
    try:
        if words[0] == "-m":
            sys.argv = [words[1], *words[2:]]
            # Not by runpy, which would leave type-checked bytecode where plain processes find it.
            importlib.import_module(f"{words[1]}.__main__").main()
        else:
            sys.argv = list(words)
            runpy.run_path(words[0], run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code
