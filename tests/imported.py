"""What the server of `tests.commands` imports before its processes are forked.

Annotations are checked at run time, as in tests. No module here defines the flags of a verb (two
verbs may have flags of one name), starts a thread or looks for devices.
"""

import importlib

from jaxtyping import install_import_hook

_MODULES = (
    "jax.experimental.multihost_utils",
    "jaxalign.api",
    "jaxalign.launch.process",
    "jaxalign.launch.runtime",
    "jaxalign.report.render",
    "ml_collections.config_flags",
)

install_import_hook("jaxalign", "beartype.beartype")
for _module in _MODULES:
    importlib.import_module(_module)
