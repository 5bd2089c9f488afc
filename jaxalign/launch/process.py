"""What every verb shares: flags, help, logging, one clear error message, the exit status."""

from __future__ import annotations

import logging as standard_logging
import sys
import traceback
from collections.abc import Callable, Sequence

from absl import app, flags, logging

from jaxalign.launch import distributed
from jaxalign.types import JaxalignError

_TRACEBACK = flags.DEFINE_bool("traceback", False, "On an error, print the full traceback too.")
# Errors whose message is meant for the user; anything else is a fault of the program and keeps its
# traceback.
_SPOKEN = (JaxalignError, ValueError, OSError)


def run_verb(
    main: Callable[[Sequence[str]], None], module: str, words: Sequence[str] | None = None
) -> None:
    """Parses flags, runs `main` and turns errors that speak to the user into exit status 1.

    Args:
      main: takes the positional arguments.
      module: name of the verb's module, whose flags `--help` explains.
      words: command-line words after the verb; None for those of `python -m`.
    """
    words = list(sys.argv[1:] if words is None else words)
    # Under `python -m jaxalign.launch.NAME` the module runs as __main__, and owns its flags there.
    owner = module if module in sys.modules else "__main__"
    if any(word in ("-h", "--help", "-help") for word in words):
        print(_help(owner))
        sys.exit(0)
    logging.set_verbosity(logging.INFO)
    logging.use_absl_handler()
    # Below warnings, they talk of absent backends and of font caches.
    for library in ("jax", "matplotlib"):
        standard_logging.getLogger(library).setLevel(standard_logging.WARNING)
    argv = [_program(module), *words]

    def joined(rest: Sequence[str]) -> None:
        key_flags = {f.name: f.value for f in flags.FLAGS.get_key_flags_for_module(owner)}
        if "coordinator_address" in key_flags:
            distributed.start(_verb(module), key_flags)
        main(rest)

    app.run(lambda rest: _guarded(joined, rest[1:]), argv=argv, flags_parser=_parse)


def _parse(argv: Sequence[str]) -> list[str]:
    # A config file is run while flags are parsed, and overrides are looked up in it.
    try:
        return app.parse_flags_with_usage(argv)
    except (AttributeError, KeyError, TypeError, ValueError, OSError, SyntaxError) as error:
        config = next((word for word in argv if word.startswith("--config=")), "the config")
        reason = str(error).strip() or type(error).__name__
        print(
            f"error: {config} or one of its --config.… overrides cannot be used: {reason}; the "
            "file must define get_config(), and an override must name one of its fields",
            file=sys.stderr,
        )
        sys.exit(1)


def _program(module: str) -> str:
    return f"jaxalign {_verb(module)}"


def _verb(module: str) -> str:
    return module.rsplit(".", 1)[-1]


def _guarded(main: Callable[[Sequence[str]], None], words: Sequence[str]) -> None:
    try:
        main(words)
        distributed.finish()
    except KeyboardInterrupt:
        print("interrupted; the same command resumes", file=sys.stderr, flush=True)
        _end(130, None)
    except Exception as error:
        lost = distributed.speaks_of_others(error)
        spoken = lost or isinstance(error, _SPOKEN)
        if not (spoken or distributed.several()):
            raise
        if _TRACEBACK.value or not spoken:
            traceback.print_exc()
        if not lost:
            message = str(error) or type(error).__name__
            print(f"{distributed.label()}: {message}", file=sys.stderr, flush=True)
        _end(1, error)


def _end(status: int, error: Exception | None) -> None:
    distributed.give_up(status, error)
    sys.exit(status)


def _help(owner: str) -> str:
    text = (sys.modules[owner].__doc__ or "").strip()
    lines = []
    own = {f.name: f for f in flags.FLAGS.get_key_flags_for_module(owner)}
    for flag in (*own.values(), flags.FLAGS["traceback"]):
        default = "" if flag.default in (None, "", []) else f" (default: {flag.default_as_str})"
        lines.append(f"  --{flag.name}\n      {' '.join(flag.help.split())}{default}")
    return f"{text}\n\nFlags:\n" + "\n".join(lines)
