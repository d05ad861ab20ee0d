# Attaches gsr to OpenROAD-flow-scripts, whose Makefile includes PRIVATE_DIR/private.mk last:
#
#   export PRIVATE_DIR := $(shell gsr hooks --path)
#
# A hook that you have set yourself is kept: it runs first, from GSR_CHAIN_<HOOK>_TCL. Your own
# private.mk goes on working with this line in it:  include $(shell gsr hooks --path)/private.mk
# GSR_ENABLE=0 attaches nothing. All settings: docs/flow.md.

GSR_HOME := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))
export GSR_HOME

# $(1): PRE_GLOBAL_PLACE and so on; $(2): the same in lower case.
#
# The flow calls make again for every step, with what is exported here in its environment: a hook
# that is ours already leaves the chain as the outer make has set it. `override` reaches hooks that
# were given on the command line, too.
define gsr_attach_hook
ifeq (,$$(findstring $$(GSR_HOME)/orfs/,$$($(1)_TCL)))
ifneq (,$$(strip $$($(1)_TCL)))
override GSR_CHAIN_$(1)_TCL := $$($(1)_TCL)
endif
override $(1)_TCL := $$(GSR_HOME)/orfs/$(2).tcl
endif
export $(1)_TCL
ifneq (,$$(GSR_CHAIN_$(1)_TCL))
export GSR_CHAIN_$(1)_TCL
endif
endef

# $(1): GLOBAL_PLACE and so on; $(2): the same in lower case.
define gsr_attach
$(eval $(call gsr_attach_hook,PRE_$(1),pre_$(2)))
$(eval $(call gsr_attach_hook,POST_$(1),post_$(2)))
endef

ifeq (,$(filter 0 no off false,$(GSR_ENABLE)))
$(call gsr_attach,SYNTH,synth)
$(call gsr_attach,FLOORPLAN,floorplan)
$(call gsr_attach,MACRO_PLACE,macro_place)
$(call gsr_attach,TAPCELL,tapcell)
$(call gsr_attach,PDN,pdn)
$(call gsr_attach,GLOBAL_PLACE_SKIP_IO,global_place_skip_io)
$(call gsr_attach,IO_PLACEMENT,io_placement)
$(call gsr_attach,GLOBAL_PLACE,global_place)
$(call gsr_attach,RESIZE,resize)
$(call gsr_attach,DETAIL_PLACE,detail_place)
$(call gsr_attach,CTS,cts)
$(call gsr_attach,GLOBAL_ROUTE,global_route)
$(call gsr_attach,DETAIL_ROUTE,detail_route)
$(call gsr_attach,FILLCELL,fillcell)
$(call gsr_attach,DENSITY_FILL,density_fill)
$(call gsr_attach,FINAL_REPORT,final_report)
endif

# The flow takes VERILOG_* out of the environment of every step but synthesis.
export GSR_RTL ?= $(VERILOG_FILES)
export GSR_RTL_INCLUDE ?= $(VERILOG_INCLUDE_DIRS)
export GSR_RTL_DEFINES ?= $(VERILOG_DEFINES)

# The prediction or the labels of a finished step, from its .odb: GSR_ODB, or the latest there is.
gsr_latest = $(firstword $(foreach stem,$(1),$(wildcard $(RESULTS_DIR)/$(stem).odb)))

.PHONY: gsr_predict gsr_labels
gsr_predict: export GSR_ODB := $(or $(GSR_ODB),$(call gsr_latest,4_cts 3_place 3_3_place_gp))
gsr_labels: export GSR_ODB := $(or $(GSR_ODB),$(call gsr_latest,5_1_grt 5_1_grt-failed))
gsr_predict gsr_labels: export GSR_ON_ERROR := $(or $(GSR_ON_ERROR),fail)
gsr_predict gsr_labels:
	@test -n "$$GSR_ODB" || { echo "$@: no .odb in $(RESULTS_DIR); run the flow, or set GSR_ODB."; exit 1; }
	@mkdir -p $(LOG_DIR) $(REPORTS_DIR) $(OBJECTS_DIR)
	$(OPENROAD_CMD) -no_splash $(GSR_HOME)/make_$@.tcl

# The access points of the platform's library, into the table that GSR_ACCESS_POINTS names.
gsr_pin_access = $(if $(dbProcessNode),-db_process_node $(dbProcessNode)) \
  $(if $(VIA_IN_PIN_MIN_LAYER),-via_in_pin_bottom_layer $(VIA_IN_PIN_MIN_LAYER)) \
  $(if $(VIA_IN_PIN_MAX_LAYER),-via_in_pin_top_layer $(VIA_IN_PIN_MAX_LAYER))

.PHONY: gsr_access_points
gsr_access_points:
	@test -n "$(GSR_ACCESS_POINTS)" || { echo "$@: set GSR_ACCESS_POINTS to the table to write."; exit 1; }
	$(if $(strip $(GSR_PYTHON)),$(GSR_PYTHON) -m gsr_plugin,gsr) access-points --lef $(TECH_LEF) $(SC_LEF) $(ADDITIONAL_LEFS) \
	  --signal-layers $(MIN_ROUTING_LAYER)-$(MAX_ROUTING_LAYER) $(addprefix --site ,$(firstword $(PLACE_SITE))) \
	  $(addprefix --tracks ,$(or $(MAKE_TRACKS),$(wildcard $(PLATFORM_DIR)/make_tracks.tcl))) \
	  --pin-access-args "$(strip $(gsr_pin_access))" $(addprefix --openroad ,$(OPENROAD_EXE)) \
	  $(addprefix --threads ,$(NUM_CORES)) --out "$(GSR_ACCESS_POINTS)" --overwrite
