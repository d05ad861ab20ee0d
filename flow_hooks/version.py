"""Version of this package, as results name it."""

from importlib import metadata


def own_version() -> str:
    """Version of this package."""
    try:
        return metadata.version("gsr-plugin")
    except metadata.PackageNotFoundError:
        return "unknown"
