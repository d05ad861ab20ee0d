# gsr45, the technology of the demo kit, as a platform of OpenROAD-flow-scripts: as far as the detailed router. There is
# no mask layout, so nothing after it.

GSR_KIT := $(abspath $(PLATFORM_DIR)/../../kit)
export PROCESS = 45

export TECH_LEF = $(GSR_KIT)/tech/gsr45_tech.lef
export SC_LEF = $(GSR_KIT)/tech/gsr45_cells.lef
export LIB_FILES = $(GSR_KIT)/tech/gsr45_typ.lib $(ADDITIONAL_LIBS)
export DONT_USE_CELLS = G45_CLKBUF_X2 G45_CLKBUF_X4 G45_CLKBUF_X8
export FILL_CELLS = G45_FILL1 G45_FILL2 G45_FILL4 G45_FILL8

export TIEHI_CELL_AND_PORT = G45_TIEHI Y
export TIELO_CELL_AND_PORT = G45_TIELO Y
export MIN_BUF_CELL_AND_PORTS = G45_BUF_X1 A Y
export ABC_DRIVER_CELL = G45_BUF_X1
export ABC_LOAD_IN_FF = 5

export PLACE_SITE = gsr45_core
export CORE_MARGIN ?= 3.2
export IO_PLACER_H ?= M3
export IO_PLACER_V ?= M4
export TAP_CELL_NAME = G45_TAP
export TAPCELL_TCL ?= $(PLATFORM_DIR)/tapcell.tcl
export PDN_TCL ?= $(PLATFORM_DIR)/pdn.tcl
export MACRO_PLACE_HALO ?= 2 2
export PLACE_DENSITY_LB_ADDON ?= 0.05
export CTS_BUF_LIST ?= G45_CLKBUF_X2 G45_CLKBUF_X4 G45_CLKBUF_X8

export MIN_ROUTING_LAYER ?= M2
export MAX_ROUTING_LAYER ?= M5
export ROUTING_LAYER_ADJUSTMENT ?= 0.2
# the library has no diodes
export SKIP_ANTENNA_REPAIR ?= 1

export PWR_NETS_VOLTAGES ?= VDD 1.0
export GND_NETS_VOLTAGES ?= VSS 0.0
