"""Which data sets become design folders: what `gsr import` does."""

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

from circuit_io.circuitnet import import_circuitnet
from circuit_io.circuitops_read import import_circuitops
from circuit_io.errors import InputError

FORMATS: dict[str, Callable[..., dict[str, Any]]] = {"circuitops": import_circuitops, "circuitnet": import_circuitnet}


def import_design(format_: str, folder: Path, out: Path, *, overwrite: bool = False, **options: Any) -> dict[str, Any]:  # noqa: ANN401
    """Write the design folder `out` from a folder of another data set; returns its manifest.

    Args:
        format_: a key of `FORMATS`, whose functions say what they read and take.
        folder: the folder of the data set.
        out: the folder to write.
        overwrite: replace an earlier export in `out`.
        options: those of the format's function; None counts as not given.

    Raises:
        InputError: an option that the format does not take, or what the format's function says.
    """
    run = FORMATS[format_]
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if name not in signature(run).parameters:
            raise InputError(f"is no option of {format_}", path=f"--{name.replace('_', '-')}", mend="Leave it out.")
    return run(folder, out, overwrite=overwrite, **given)
