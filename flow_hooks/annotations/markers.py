"""Hot spots and likely DRC violations as OpenROAD markers, in the forms that its viewer and `dbMarkerCategory` read.

Source:
    OpenROAD's odb (dbMarkerCategory, dbMarker: writeTR, fromTR, populatePTree, fromPTree) and its router's congestion
    report, whose comment (`capacity:.. usage:.. congestion:..`) ours begins with.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from circuit_io.drc_risk import DrcRisk
from circuit_io.hotspots import HotSpot

CATEGORY, RISK = "GSR congestion", "Likely DRC violations"
MAX_MARKERS = 10_000  # what a category holds unless told otherwise


@dataclass(frozen=True)
class _Marker:
    """One marker: what it is, its box, its nets and a comment."""

    kind: str
    box_um: tuple[float, float, float, float]
    nets: Sequence[str]
    comment: str


def _markers(spots: Sequence[HotSpot], nets: Sequence[Sequence[str]], risks: Sequence[DrcRisk]) -> list[_Marker]:
    hot = [
        _Marker(f"{spot.name.capitalize()} congestion", spot.box_um, names, _comment(spot))
        for spot, names in zip(spots, nets, strict=True)
    ]
    words = "predicted gcells:{} expected:{:.1f} peak:{:.3f} rank:{}"
    return hot + [
        _Marker(RISK, risk.box_um, (), words.format(risk.gcells, risk.expected, risk.peak, rank))
        for rank, risk in enumerate(risks, start=1)
    ]


def markers_tr(spots: Sequence[HotSpot], nets: Sequence[Sequence[str]], risks: Sequence[DrcRisk] = ()) -> str:
    """The text form of `dbMarkerCategory_fromTR`: one record a hot spot or risk, um, with its nets as sources.

    A net whose name holds a blank cannot stand in this form and is left out.
    """
    lines = []
    for marker in _markers(spots, nets, risks):
        x1, y1, x2, y2 = marker.box_um
        sources = " ".join(f"net:{name}" for name in marker.nets if _fits(name))
        lines += [
            f"violation type: {marker.kind}",
            f"\tsrcs: {sources}",  # the blank after the colon is needed even without sources
            f"\tcomment: {marker.comment}",
            f"\tbbox = ({x1:.4f}, {y1:.4f}) - ({x2:.4f}, {y2:.4f}) on Layer -",
        ]
    return "\n".join(lines) + "\n" if lines else ""


def markers_json(
    spots: Sequence[HotSpot],
    nets: Sequence[Sequence[str]],
    risks: Sequence[DrcRisk] = (),
    *,
    source: str = "gsr predict",
    category: str = CATEGORY,
) -> str:
    """The text form of `dbMarkerCategory_fromJSON`: one category with a child per direction, and one for risks.

    All scalars are strings, as OpenROAD writes them. A name that is not UTF-8 is left out: its reader would stop there.
    """
    children: dict[str, Any] = {}
    for marker in _markers(spots, nets, risks):
        child = children.setdefault(
            marker.kind,
            {"description": "", "source": source, "max_markers": str(MAX_MARKERS), "violations": []},
        )
        x1, y1, x2, y2 = marker.box_um
        points = [{"x": f"{x:.4f}", "y": f"{y:.4f}"} for x, y in ((x1, y1), (x2, y2))]
        child["violations"].append(
            {
                "comment": marker.comment,
                "visited": "false",
                "visible": "true",
                "waived": "false",
                "shape": [{"type": "box", "points": points}],
                "sources": [{"type": "net", "name": name} for name in marker.nets if _is_utf8(name)],
            }
        )
    top: dict[str, Any] = {
        "description": "Congestion predicted before routing",
        "source": source,
        "max_markers": str(MAX_MARKERS),
    }
    if children:
        top["category"] = children
    return json.dumps({category: top}, indent=4, ensure_ascii=False) + "\n"


def _comment(spot: HotSpot) -> str:
    over = max(0.0, spot.peak_demand - spot.peak_capacity)
    return (
        f"capacity:{spot.peak_capacity:g} usage:{spot.peak_demand:.1f} congestion:{over:.1f} predicted "
        f"peak:{spot.peak:.3f} mean:{spot.mean:.3f} edges:{spot.num_edges} rank:{spot.rank}"
    )


def _fits(name: str) -> bool:
    return bool(name) and not any(sign.isspace() or ord(sign) < 0x20 for sign in name)


def _is_utf8(name: str) -> bool:
    return not any(0xD800 <= ord(sign) <= 0xDFFF for sign in name)
