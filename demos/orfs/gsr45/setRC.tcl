# Resistance and capacitance of the layers are in the LEF.
set_wire_rc -signal -layer M3
set_wire_rc -clock -layer M4
