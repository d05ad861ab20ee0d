"""Predicted slacks of endpoints after global route, and their table, `endpoints.csv` of a prediction folder."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from circuit_io.errors import InputError

FILE = "endpoints.csv"
_HEADER = ["pin", "slack_ns", "predicted_slack_ns"]


@dataclass(frozen=True)
class PredictedSlacks:
    """Endpoints in the order of the export: name, slack before routing, predicted slack after it, ns."""

    pin: tuple[str, ...]
    slack_ns: Float64[np.ndarray, " endpoints"]
    routed_ns: Float64[np.ndarray, " endpoints"]

    def ws_ns(self) -> float:
        """Worst predicted slack."""
        return float(self.routed_ns.min())

    def wns_ns(self) -> float:
        """The same, 0 where no endpoint is violated."""
        return min(0.0, self.ws_ns())

    def tns_ns(self) -> float:
        """Sum of the negative predicted slacks."""
        return float(np.minimum(self.routed_ns, 0).sum())

    def to_csv(self) -> bytes:
        """A row an endpoint; numbers come back as they are."""
        text = io.StringIO(newline="")
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(_HEADER)
        rows.writerows(zip(self.pin, self.slack_ns.tolist(), self.routed_ns.tolist(), strict=True))
        return text.getvalue().encode("utf-8", "surrogateescape")

    @classmethod
    def of_csv(cls, content: bytes, *, path: Path | str) -> "PredictedSlacks":
        """The inverse of `to_csv`.

        Raises:
            InputError: another table.
        """
        rows = list(csv.reader(io.StringIO(content.decode("utf-8", "surrogateescape"), newline="")))
        try:
            if rows[0] != _HEADER:
                raise ValueError(f"its columns are {','.join(rows[0])}")
            pins, slack, routed = zip(*rows[1:], strict=True)
            return cls(pins, *(np.asarray([float(v) for v in values], np.float64) for values in (slack, routed)))
        except (ValueError, IndexError) as e:
            raise InputError(f"is no table of endpoints: {e}", path=path, mend="Predict again with --overwrite.") from e
