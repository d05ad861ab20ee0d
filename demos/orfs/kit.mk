# What the kit's designs have in common: platform, constraints, the netlist in place of a synthesis, and the one line
# that attaches gsr.

GSR_DEMOS := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))
export PRIVATE_DIR := $(shell gsr hooks --path)

export PLATFORM = gsr45
export PLATFORM_DIR = $(GSR_DEMOS)/gsr45
export SDC_FILE = $(GSR_DEMOS)/../kit/rtl/$(DESIGN_NAME).sdc
export VERILOG_FILES = $(GSR_DEMOS)/../kit/rtl/$(DESIGN_NAME).v
export SYNTH_NETLIST_FILES = $(GSR_DEMOS)/../kit/netlists/$(DESIGN_NAME).v.gz
