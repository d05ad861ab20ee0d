"""Shapes of masters in the orientations that a design has them in: placing an inst is then one addition.

A form is a master's mterm, or a master, turned to one orientation, with its shapes about the inst's lower left corner.
A million insts share some hundred forms, so that nothing is kept for each shape of each inst.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int32, Int64

from circuit_io.arrays import expand
from circuit_io.geometry import place_rects


@dataclass(frozen=True)
class Forms:
    """Shapes by form: those of form f are the rows `ptr[f]` to `ptr[f + 1]` of `rect_dbu`."""

    ptr: Int64[np.ndarray, " forms_plus_1"]
    rect_dbu: Int64[np.ndarray, "shapes 4"]

    @property
    def count(self) -> Int64[np.ndarray, " forms"]:
        """Number of shapes of each form."""
        return np.diff(self.ptr)

    def reduced(self, ufunc: np.ufunc, values: Int64[np.ndarray, "shapes k"]) -> Int64[np.ndarray, "forms k"]:
        """A value of every shape brought together by form with `np.minimum`, `np.add`, ..; 0 for a form of none."""
        out = np.zeros((len(self.ptr) - 1, values.shape[1]), np.int64)
        has = self.count > 0
        if has.any():
            out[has] = ufunc.reduceat(values, self.ptr[:-1][has], axis=0)
        return out


def turned(
    ptr: Int64[np.ndarray, " owners_plus_1"],
    rect_dbu: Int64[np.ndarray, "shapes 4"],
    size_dbu: Int64[np.ndarray, "owners 2"],
    owner: Int64[np.ndarray, " forms"],
    orient: Int64[np.ndarray, " forms"],
) -> Forms:
    """The shapes of `owner[f]`, whose master has the size `size_dbu[owner[f]]`, turned to `orient[f]`, for each f."""
    count = np.diff(ptr)[owner]
    form, nth = expand(count)
    of = owner[form]
    rect = place_rects(rect_dbu[ptr[of] + nth], size_dbu[of], orient[form], np.zeros(2, np.int64)).reshape(-1, 4)
    return Forms(np.concatenate([[0], np.cumsum(count)]), rect)


@dataclass(frozen=True)
class PinForms(Forms):
    """Forms of mterms, and one form for each port with its shapes on the die; the shapes are those the router takes.

    `level` is the routing level of the shapes, 0 for a form of none; the boxes hold 0 there.
    """

    level: Int32[np.ndarray, " forms"]

    def box_dbu(self) -> Int64[np.ndarray, "forms 4"]:
        """The box of each form's shapes."""
        low, high = self.reduced(np.minimum, self.rect_dbu[:, :2]), self.reduced(np.maximum, self.rect_dbu[:, 2:])
        return np.concatenate([low, high], axis=1)

    def middles_2dbu(self) -> Int64[np.ndarray, "shapes 2"]:
        """Twice the middle of every shape."""
        middles: Int64[np.ndarray, "shapes 2"] = self.rect_dbu[:, :2] + self.rect_dbu[:, 2:]
        return middles

    def has_shape(self) -> Bool[np.ndarray, " forms"]:
        """True for forms with a shape."""
        has: Bool[np.ndarray, " forms"] = self.count > 0
        return has
