"""Steps and a flow for LibreLane, which imports this module because of its name: light, and never a reason to fail."""

import warnings
from importlib.metadata import version

__version__ = version("gsr-plugin")

try:
    from . import flow, steps, variables, views
except (ImportError, AttributeError, TypeError, NameError) as error:
    # LibreLane without us is better than none; its API may have changed
    warnings.warn(f"librelane_plugin_gsr {__version__} does not fit this LibreLane: {error!r}", stacklevel=2)

__all__ = ["flow", "steps", "variables", "views"]
