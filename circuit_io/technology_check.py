"""Whether a DEF and the LEF files were made for each other: masters, layers of tracks, sites of rows, places."""

import numpy as np
from jaxtyping import Int64

from circuit_io.def_ import DefDesign
from circuit_io.errors import MAX_NAMES, InputError, listed
from circuit_io.lef import LefLibrary
from circuit_io.names import Names

_MEND = "Give the LEF files of the technology that this DEF was made in."


def check_technology(library: LefLibrary, placed: DefDesign) -> list[str]:
    """Warnings on rows that do not fit their site, as of another unit or technology.

    Raises:
        InputError: no master, or no layer that has tracks, is in the LEF files.
    """
    masters = placed.master_names
    if len(masters) and (library.macro_names.rows_of(masters) < 0).all():
        raise InputError(f"none of its {len(masters)} masters is in the LEF files given ({_some(masters)})",
                         path=placed.path, mend=_MEND)  # fmt: skip
    tracked = placed.layer_names.take(np.unique(placed.track_layer[placed.track_layer >= 0]).tolist())
    if len(tracked) and (library.layer_names.rows_of(tracked) < 0).all():
        what = f"none of the {len(tracked)} layers of its TRACKS is in the LEF files given ({_some(tracked)})"
        raise InputError(what, path=placed.path, mend=_MEND)
    return _rows(library, placed)


def _some(names: Names) -> str:
    return listed(names.take(range(min(MAX_NAMES, len(names)))), len(names))


def _rows(library: LefLibrary, placed: DefDesign) -> list[str]:
    """A warning for rows of a site that the LEF lacks, and one for rows that step by another width than their site."""
    if not len(placed.row_site):
        return []
    sites = placed.row_site_names
    site = library.site_names.rows_of(sites)[placed.row_site]
    out = []
    if (site < 0).any():
        first = sites[int(placed.row_site[int(np.argmax(site < 0))])]
        out.append(f"{int((site < 0).sum())} of {len(site)} rows are of a site that no LEF file has (first: {first})")
    size = library.site_size_um[np.maximum(site, 0)] if len(library.site_size_um) else np.zeros((len(site), 2))
    step = np.abs(placed.row_step_dbu).max(axis=1)
    fits = (np.rint(size * placed.dbu_per_um) == step[:, None]).any(axis=1)  # a turned row runs by heights
    wrong = ~fits & (site >= 0) & (step > 0) & (placed.row_count.max(axis=1) > 1)
    if wrong.any():
        i = int(np.argmax(wrong))
        um, name = step[i] / placed.dbu_per_um, sites[int(placed.row_site[i])]
        out.append(
            f"{int(wrong.sum())} of {len(site)} rows step by another width than their site has "
            f"(first: {placed.row_names[i]} by {um:g} um, site {name} {size[i, 0]:g} um): other units or technology?"
        )
    return out


def check_places(placed: DefDesign, rect_dbu: Int64[np.ndarray, "insts 4"]) -> list[str]:
    """A warning when insts reach out of the die.

    Raises:
        InputError: not one inst lies in it.
    """
    low, high = placed.die_dbu[:2], placed.die_dbu[2:]
    at = np.flatnonzero((rect_dbu[:, :2] < low).any(axis=1) | (rect_dbu[:, 2:] > high).any(axis=1))
    if not len(at):
        return []
    off = int(((rect_dbu[:, :2] >= high) | (rect_dbu[:, 2:] <= low)).any(axis=1).sum())
    if off == len(rect_dbu):
        die = " ".join(f"{v / placed.dbu_per_um:g}" for v in placed.die_dbu)
        raise InputError(
            f"all {off} insts lie out of the die, {die} um (first: {placed.inst_names[0]})",
            path=placed.path,
            mend="Write the DEF again: its UNITS or DIEAREA are of another design.",
        )
    return [f"{len(at)} of {len(rect_dbu)} insts reach out of the die (first: {placed.inst_names[int(at[0])]})"]
