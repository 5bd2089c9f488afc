"""What the server of `tests.commands` imports before its processes are forked.

No module here defines the flags of a verb (two verbs may have flags of one name), starts a thread
or looks for devices.
"""

import importlib

_MODULES = (
    "jax.experimental.multihost_utils",
    "jaxalign.api",
    "jaxalign.launch.process",
    "jaxalign.launch.runtime",
    "jaxalign.report.render",
    "ml_collections.config_flags",
)

for _module in _MODULES:
    importlib.import_module(_module)
