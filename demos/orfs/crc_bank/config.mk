export DESIGN_NAME = crc_bank
export CORE_UTILIZATION ?= 60
include $(dir $(abspath $(lastword $(MAKEFILE_LIST))))../kit.mk
