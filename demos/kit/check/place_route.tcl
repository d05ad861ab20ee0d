# SPDX-License-Identifier: BSD-3-Clause
# Floorplan, placement and global routing of one demo design in OpenROAD.
# Run from the folder of the kit. check/place_route.py sets these variables:
#   GSR45_DESIGN      name of the design
#   GSR45_FILL        instance area over core area, 0..1
#   GSR45_TOP_LAYER   highest layer for signal wires
#   GSR45_MACROS      inst x_um y_um, for each hard block
#   GSR45_OUT         folder for the results

set design $::env(GSR45_DESIGN)
set fill $::env(GSR45_FILL)
set top_layer $::env(GSR45_TOP_LAYER)
set out $::env(GSR45_OUT)

read_lef tech/gsr45_tech.lef
read_lef tech/gsr45_cells.lef
read_liberty tech/gsr45_typ.lib
read_verilog netlists/$design.v.gz
link_design $design
read_sdc rtl/$design.sdc
set_wire_rc -signal -layer M3
set_wire_rc -clock -layer M4

# Floorplan
initialize_floorplan -utilization [expr { 100 * $fill }] -aspect_ratio 1 -core_space 3.2 \
  -site gsr45_core
make_tracks
set core [ord::get_core_area]
foreach { name x y } $::env(GSR45_MACROS) {
  set inst [[ord::get_db_block] findInst $name]
  $inst setOrient R0
  $inst setLocation [ord::microns_to_dbu [expr { [lindex $core 0] + $x }]] \
    [ord::microns_to_dbu [expr { [lindex $core 1] + $y }]]
  $inst setPlacementStatus FIRM
}
tapcell -distance 20 -tapcell_master G45_TAP -endcap_master G45_TAP -halo_width_x 2 -halo_width_y 2

# Power grid
add_global_connection -net VDD -pin_pattern VDD -power
add_global_connection -net VSS -pin_pattern VSS -ground
global_connect
set_voltage_domain -power VDD -ground VSS
define_pdn_grid -name core
add_pdn_stripe -grid core -followpins -layer M1
add_pdn_stripe -grid core -layer M4 -width 0.48 -pitch 16 -offset 4
add_pdn_stripe -grid core -layer M5 -width 0.48 -pitch 16 -offset 4
add_pdn_connect -grid core -layers {M1 M4}
add_pdn_connect -grid core -layers {M4 M5}
if { [llength $::env(GSR45_MACROS)] } {
  define_pdn_grid -macro -default -name blocks -grid_over_pg_pins -halo 1
  add_pdn_connect -grid blocks -layers {M4 M5}
}
pdngen

# Placement
set_routing_layers -signal M2-$top_layer -clock M2-$top_layer
set_global_routing_layer_adjustment M2-$top_layer 0.2
set_macro_extension 1
place_pins -hor_layers M3 -ver_layers M4
set uniform [gpl::get_global_placement_uniform_density]
set density [expr { min(1.0, $uniform + 0.05) }]
global_placement -density $density
estimate_parasitics -placement
detailed_placement
improve_placement
check_placement -verbose
write_def $out/placed.def

# Global routing
global_route -guide_file $out/route.guide -congestion_report_file $out/congestion.rpt \
  -allow_congestion -verbose
estimate_parasitics -global_routing
puts "kit metric num_insts [llength [get_cells *]]"
puts "kit metric density $density"
report_worst_slack -max
report_tns
report_design_area
write_db $out/routed.odb
