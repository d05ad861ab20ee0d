# A crossbar on few layers: the router overflows, and goes on.
export DESIGN_NAME = xbar16
export CORE_UTILIZATION ?= 60
export MAX_ROUTING_LAYER ?= M5
export GLOBAL_ROUTE_ARGS ?= -allow_congestion -congestion_iterations 30
include $(dir $(abspath $(lastword $(MAKEFILE_LIST))))../kit.mk
