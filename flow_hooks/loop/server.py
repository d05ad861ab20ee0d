"""One warm server (`gsr serve`) for all predictions of an arm: the first of them starts it, as in a flow."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class WarmServer:
    """The server of an address file; it ends with the process that makes this."""

    address: Path

    def environment(self) -> dict[str, str]:
        """What makes a command use it, and start it where there is none."""
        return {"GSR_SERVE": "1", "GSR_SERVER": str(self.address), "GSR_FLOW_PID": str(os.getpid())}

    def processor_s(self) -> float | None:
        """Processor seconds so far, 0 before it is started; None where the system does not tell."""
        try:
            lines = self.address.read_text("utf-8").splitlines()
        except FileNotFoundError:
            return 0.0
        pid = next(line.partition("\t")[2] for line in lines if line.startswith("pid\t"))
        try:
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
