"""What people look at: plots, tables, one HTML page. Importing it needs the extra `report`."""

import importlib

from jaxalign.types import MissingExtraError

_EXTRA = ("matplotlib", "jinja2", "plotly")

# Nearly every room draws: asked here, a missing package is named whatever is imported first.
for _package in _EXTRA:
    try:
        importlib.import_module(_package)
    except ImportError as error:
        raise MissingExtraError(
            f"the report needs {', '.join(_EXTRA)}, and {_package} cannot be imported "
            f"({error}); install them with: pip install 'jaxalign[report]'"
        ) from error
