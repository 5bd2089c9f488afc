"""`jaxalign VERB …`: one thin main a verb."""

from __future__ import annotations

import importlib
import sys

VERBS = {
    "run": "embed, align and report from one config file",
    "embed": "embed structures with registered encoders",
    "align": "score all pairs of embeddings (.npy, .npz, stores)",
    "report": "write the HTML report of a finished alignment",
    "compare": "place your own embeddings, or an encoder, among the models of a run",
    "select": "choose an encoder for a task from a few labels",
    "sweep": "measure how the engine scales on these devices",
    "train": "train small networks on energies, with checkpoints to follow",
    "models": "list, show or fetch pretrained encoders",
    "datasets": "list or fetch data sets",
}


def usage() -> str:
    """What `jaxalign --help` prints."""
    verbs = "\n".join(f"  {verb:<10}{what}" for verb, what in VERBS.items())
    return (
        "usage: jaxalign VERB [--flags]\n\n"
        f"{verbs}\n\n"
        "`jaxalign VERB --help` explains the flags of a verb.\n"
        "Start with:  jaxalign align --embeddings=FOLDER_OF_NPY_FILES --workdir=W"
    )


def main() -> None:
    """Entry point of the console script."""
    words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help", "--helpfull", "help"):
        print(usage())
        sys.exit(0 if words else 2)
    if words[0] == "--version":
        from jaxalign import __version__

        print(f"jaxalign {__version__}")
        return
    if words[0] not in VERBS:
        print(f"error: unknown verb {words[0]!r}\n\n{usage()}", file=sys.stderr)
        sys.exit(2)
    from jaxalign.launch.process import run_verb

    module = importlib.import_module(f"jaxalign.launch.{words[0]}")
    run_verb(module.main, module.__name__, words[1:])


if __name__ == "__main__":
    main()
