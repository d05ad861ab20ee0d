# A crossbar on few layers: the router needs many rounds, and goes on where tracks run out. What the flow repairs after
# it would stop there.
export DESIGN_NAME = xbar16
export CORE_UTILIZATION ?= 70
export MAX_ROUTING_LAYER ?= M5
export GLOBAL_ROUTE_ARGS ?= -allow_congestion -congestion_iterations 30
export SKIP_INCREMENTAL_REPAIR ?= 1
include $(dir $(abspath $(lastword $(MAKEFILE_LIST))))../kit.mk
