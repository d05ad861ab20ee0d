"""Colours of the maps as stops from 0 to 1, light and dark, for the page and for pictures.

Blue below full and orange to red above it (dark: red to yellow) are told apart with every common form of colour
blindness, and so are the two arms of the difference (after ColorBrewer's PuOr); the ramp of the uncertainty is after
cividis.
"""

import numpy as np
from jaxtyping import Float, UInt8

from circuit_io.maps import FULL

Stops = list[str]
NO_VALUE = (233, 237, 241)
COLOURS: dict[str, dict[str, Stops]] = {
    "light": {
        "below": ["#f4f8fc", "#d3e3f3", "#a3cbe5", "#62a7d3", "#2b78b9", "#0a4a90"],
        "above": ["#ffb14a", "#fd8035", "#f03c24", "#bd1329", "#7d0025"],
        "ramp": ["#f1efe9", "#d8cf9f", "#a79d78", "#7a7a79", "#4a5a78", "#123570"],
        "minus": ["#f5f4f2", "#c9c3de", "#9489bd", "#5f3c93", "#2f0551"],
        "plus": ["#f5f4f2", "#fbc780", "#e28a21", "#b05a07", "#7a3a05"],
        "share": ["#dff1ec", "#8fd0c0", "#3aa596", "#0b7268", "#03453f"],
    },
    "dark": {
        "below": ["#18222d", "#1d3a55", "#215581", "#2b74b0", "#4a97d6", "#84bfee"],
        "above": ["#c8401f", "#ee6a2a", "#ff9640", "#ffc261", "#ffeeb0"],
        "ramp": ["#1b2431", "#37486a", "#636872", "#948e77", "#c8b866", "#fee838"],
        "minus": ["#20262e", "#45406e", "#7366ac", "#a294dc", "#d6cdff"],
        "plus": ["#20262e", "#6b4513", "#b06f16", "#eb9f34", "#ffd48a"],
        "share": ["#16332f", "#1b5b53", "#22897c", "#46bba9", "#a5eadb"],
    },
}


def rgb(stops: Stops, at: Float[np.ndarray, "ny nx"]) -> UInt8[np.ndarray, "ny nx 3"]:
    """The colours at places 0..1 between the stops; the first where no value is."""
    parts = np.array([[int(s[i : i + 2], 16) for i in (1, 3, 5)] for s in stops], np.float64)
    place = np.linspace(0, 1, len(stops))
    return np.stack([np.interp(np.nan_to_num(at), place, parts[:, k]) for k in range(3)], -1).round().astype(np.uint8)


def congestion_rgb(values: Float[np.ndarray, "ny nx"], limit: float) -> UInt8[np.ndarray, "ny nx 3"]:
    """Light colours of congestion 0 .. `limit`, with the break at full; grey where no value is."""
    light = COLOURS["light"]
    below, above = rgb(light["below"], values / FULL), rgb(light["above"], (values - FULL) / (limit - FULL))
    out = np.where((values > FULL)[..., None], above, below)
    out[~np.isfinite(values)] = NO_VALUE
    return out


def shared_limit(maps: list[Float[np.ndarray, "ny nx"]]) -> float:
    """Upper end of the colour scale for several congestion maps: at least 1.25, at most 2.5."""
    finite = [m[np.isfinite(m)] for m in maps]
    high = max((float(np.quantile(v, 0.999)) for v in finite if len(v)), default=1.0)
    return float(np.clip(np.ceil(high * 20) / 20, 1.25, 2.5))
