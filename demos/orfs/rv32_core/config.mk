export DESIGN_NAME = rv32_core
export CORE_UTILIZATION ?= 60
include $(dir $(abspath $(lastword $(MAKEFILE_LIST))))../kit.mk
