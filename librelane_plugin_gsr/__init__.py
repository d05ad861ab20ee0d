"""Steps and a flow for LibreLane, which imports this module because of its name: light, and never a reason to fail."""

import warnings

__version__ = "0.1.0"

try:
    from . import flow, steps, variables, views
except Exception as error:
    # LibreLane without us is better than none; its API or its flow may have changed
    warnings.warn(f"librelane_plugin_gsr {__version__} does not fit this LibreLane: {error!r}", stacklevel=2)

__all__ = ["flow", "steps", "variables", "views"]
