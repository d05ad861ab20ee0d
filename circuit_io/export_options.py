"""The sources of an export from the options of `gsr export`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from circuit_io.errors import InputError
from circuit_io.export import ExportSources, parse_adjustment, parse_layer_range, sources_of_hook, sources_of_labels
from circuit_io.export_modules import RtlSources
from circuit_io.export_timing import TimingSources
from circuit_io.labels import has


def sources_of_options(
    *,
    lef: Sequence[Path] = (),
    def_: Path | None = None,
    lib: Sequence[Path] = (),
    verilog: Path | None = None,
    signal_layers: str | None = None,
    layer_adjustment: str | None = None,
    gcell_um: float | None = None,
    family: str | None = None,
    technology: str | None = None,
    variant: str | None = None,
    stage: str | None = None,
    labels: Path | None = None,
    hook: Path | None = None,
    rtl: Sequence[Path] = (),
    rtl_include: Sequence[Path] = (),
    rtl_define: Sequence[str] = (),
    spef: Path | None = None,
    sdc: Path | None = None,
) -> ExportSources:
    """What a hook or a label folder says, overridden by the options that are given.

    Raises:
        InputError: neither a hook nor LEF, no DEF, or an option that cannot be read.
    """
    if hook is not None:
        base = sources_of_hook(hook)
    elif not lef:
        raise InputError("no LEF files", path="command line", mend="Give --lef F.. (technology first), or --hook.")
    elif labels is not None and (def_ is None or has(labels, "done.json")):
        base = sources_of_labels(labels, lef=list(lef), lib=list(lib))
    elif def_ is None:
        raise InputError("no DEF file", path="command line", mend="Give --def F, --labels DIR or --hook F.")
    else:
        base = ExportSources(lef=list(lef), def_=def_)
    given: dict[str, Any] = {
        "lef": list(lef) or None,
        "def_": def_,
        "lib": list(lib) or None,
        "verilog": verilog,
        "signal_layers": parse_layer_range(signal_layers) if signal_layers else None,
        "layer_adjustment": parse_adjustment(layer_adjustment) if layer_adjustment else None,
        "adjustment_path": "--layer-adjustment" if layer_adjustment else None,
        "gcell_um": gcell_um,
        "family": family,
        "technology": technology,
        "variant": variant,
        "stage": stage,
        "labels": labels,
        "rtl": RtlSources(rtl, rtl_define, rtl_include) if rtl else None,
        "timing": TimingSources(spef, sdc or base.timing.sdc, base.timing.is_lenient and not sdc)
        if spef or sdc
        else None,
    }
    return replace(base, **{name: value for name, value in given.items() if value is not None})
