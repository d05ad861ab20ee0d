"""Numbers for the words that LEF and DEF share."""

from circuit_io.geometry import ORIENTS

DIRECTIONS = {b"INPUT": 0, b"OUTPUT": 1, b"INOUT": 2, b"FEEDTHRU": 3}
USES = {b"SIGNAL": 0, b"POWER": 1, b"GROUND": 2, b"CLOCK": 3, b"ANALOG": 4, b"RESET": 5, b"SCAN": 5, b"TIEOFF": 5}
STATUS = {b"UNPLACED": 0, b"PLACED": 1, b"FIXED": 2, b"COVER": 3}
ORIENT_CODES = {name.encode(): code for code, name in enumerate(ORIENTS)}
NO_NET = -(2**31)
"""`bterm_net` of a port that is on no net."""
