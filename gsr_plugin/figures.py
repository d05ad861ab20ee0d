"""Maps of a prediction as PNG, for the Markdown: side by side, hot spots boxed, the colour scale at the right."""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from circuit_io.hotspots import HotSpot
from gsr_plugin.colours import COLOURS, NO_VALUE, congestion_rgb, rgb

Map = Float[np.ndarray, "ny nx"]
Pixels = UInt8[np.ndarray, "height width 3"]

SIDE = 480  # pixels that a map's longer side has, about
GAP = 16
BAR = 14


@dataclass(frozen=True)
class Picture:
    """One figure as PNG bytes."""

    name: str
    png: bytes


def congestion_picture(name: str, maps: Sequence[Map], limit: float, spots: Sequence[HotSpot] = ()) -> Picture:
    """Maps of congestion on one scale of colours up to `limit`, each with the boxes of the hot spots."""
    zoom = _zoom(maps[0].shape)
    parts = [_boxed(_enlarged(congestion_rgb(values, limit), zoom), spots, zoom) for values in maps]
    high = parts[0].shape[0]
    bar = congestion_rgb(np.repeat(np.linspace(limit, 0, high)[:, None], BAR, 1), limit)
    return Picture(name, png([*parts, bar]))


def ramp_picture(name: str, maps: Sequence[Map], ramp: str, limit: float) -> Picture:
    """Maps on one of the ramps of `COLOURS`, 0 .. `limit`; grey where no value is."""
    stops, zoom = COLOURS["light"][ramp], _zoom(maps[0].shape)
    parts = []
    for values in maps:
        colours = rgb(stops, np.nan_to_num(values) / limit)
        colours[~np.isfinite(values)] = NO_VALUE
        parts.append(_enlarged(colours, zoom))
    bar = rgb(stops, np.repeat(np.linspace(1, 0, parts[0].shape[0])[:, None], BAR, 1))
    return Picture(name, png([*parts, bar]))


def _zoom(shape: tuple[int, ...]) -> int:
    return max(1, round(SIDE / max(shape)))


def _enlarged(colours: UInt8[np.ndarray, "ny nx 3"], zoom: int) -> Pixels:
    """Each gcell as a square, row 0 at the bottom."""
    return colours[::-1].repeat(zoom, 0).repeat(zoom, 1)


def _boxed(pixels: Pixels, spots: Sequence[HotSpot], zoom: int) -> Pixels:
    out = pixels.copy()
    for spot in reversed(spots):
        x0, y0, x1, y1 = spot.edges
        right, top = (x1 + 2, y1 + 1) if spot.direction == "h" else (x1 + 1, y1 + 2)
        low, high = out.shape[0] - top * zoom, out.shape[0] - y0 * zoom
        for inset, colour in ((0, 255), (1, 16)):
            box = out[low + inset : high - inset, x0 * zoom + inset : right * zoom - inset]
            if box.size:  # one gcell of few pixels has no room for the inner frame
                box[[0, -1]] = colour
                box[:, [0, -1]] = colour
    return out


def png(parts: Sequence[UInt8[np.ndarray, "height _ 3"]]) -> bytes:
    """Pictures of one height side by side on white, as a PNG file."""
    high = parts[0].shape[0]
    gap = np.full((high, GAP, 3), 255, np.uint8)
    pixels = np.concatenate([p for i, part in enumerate(parts) for p in ([gap, part] if i else [part])], 1)
    rows = np.zeros((high, 1 + 3 * pixels.shape[1]), np.uint8)  # the first byte of a row names no filter
    rows[:, 1:] = pixels.reshape(high, -1)
    head = struct.pack(">IIBBBBB", pixels.shape[1], high, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows.tobytes(), 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
