# Recording stand-ins for the commands that gsr_label.tcl calls beside those of openroad_stub.tcl.
#
# Options are those of OpenROAD at commit 5c9e487120. The steps that need one another say so: tracks
# before layers, rows before placement, pins before the last placement, a placement before a route.

source [file join [file dirname [file normalize [info script]]] openroad_stub.tcl]

namespace eval ::stub {
variable state {}

# `name` with its options: keys with a value, flags, number of other arguments, what it gives, what
# must have been before.
proc stand_in { name keys flags count gives needed } {
  interp alias {} ::$name {} ::stub::called $name $keys $flags $count $gives $needed
  ::sta::define_cmd_args $name [concat $keys $flags]
}

proc called { name keys flags count gives needed args } {
  note $name {*}$args
  ::sta::parse_key_args $name args values $keys $flags
  if { [llength $args] != $count } { error "$name: [llength $args] arguments" }
  variable state
  foreach one $needed {
    if { $one ni $state } { error "\[ERROR STUB-0001\] $name: no $one yet" }
  }
  lappend state {*}$gives
}

foreach row {
  { read_lef {} { -tech -library } 1 lef {} }
  { read_liberty { -corner } { -min -max } 1 lib {} }
  { read_verilog {} {} 1 netlist lef }
  { link_design {} { -hier } 1 block netlist }
  { read_sdc { -echo } {} 1 sdc block }
  { initialize_floorplan { -utilization -aspect_ratio -core_space -die_area -core_area -site } {}
    0 rows block }
  { make_tracks { -x_pitch -y_pitch -x_offset -y_offset } {} 0 tracks rows }
  { set_routing_layers { -signal -clock } {} 0 layers tracks }
  { cut_rows { -endcap_master -halo_width_x -halo_width_y } {} 0 cut rows }
  { tapcell { -distance -tapcell_master -endcap_master } {} 0 taps rows }
  { pdngen {} { -skip_trim -dont_add_pins } 0 grid rows }
  { place_pins { -hor_layers -ver_layers } { -random } 0 pins { rows tracks } }
  { detailed_placement { -max_displacement } {} 0 legal placed }
  { improve_placement { -random_seed -max_displacement } {} 0 improved legal }
  { optimize_mirroring {} {} 0 {} legal }
  { check_placement { -report_file_name } { -verbose } 0 {} legal }
  { estimate_parasitics {} { -placement -global_routing } 0 {} {} }
  { global_route { -congestion_iterations -congestion_report_file -guide_file }
    { -allow_congestion -verbose } 0 route { layers legal } }
  { pin_access { -via_in_pin_bottom_layer -verbose } {} 0 access { layers legal } }
  { detailed_route { -output_drc -output_maze -droute_end_iter -drc_report_iter_step -verbose
    -or_seed -or_k } { -disable_via_gen -clean_patches } 0 detailed route }
} {
  stand_in {*}$row
}

# What a detailed route leaves: a rule, sources, box and layer of each, of which the report holds
# the first `reported`.
variable violations {}
variable reported 10000
rename ::detailed_route ::stub::detailed_route
proc ::detailed_route { args } {
  ::stub::detailed_route {*}$args
  set channel [open [dict get $args -output_drc] w]
  set last [expr { 4 * $::stub::reported - 1 }]
  foreach { rule sources box layer } [lrange $::stub::violations 0 $last] {
    lassign $box x1 y1 x2 y2
    puts $channel "violation type: $rule\n\tsrcs: $sources"
    puts $channel "\tbbox = ($x1, $y1) - ($x2, $y2) on Layer $layer"
  }
  close $channel
}
proc ::detailed_route_num_drvs { } {
  if { "detailed" ni $::stub::state } { error "\[ERROR DRT-0002\] has not been run yet." }
  return [expr { [llength $::stub::violations] / 4 }]
}

rename ::global_placement ::stub::placement
proc ::global_placement { args } {
  set needed [expr { "-skip_io" in $args ? { rows } : { rows pins } }]
  foreach one $needed {
    if { $one ni $::stub::state } { error "\[ERROR STUB-0001\] global_placement: no $one yet" }
  }
  lappend ::stub::state placed
  return [::stub::placement {*}$args]
}
}

# A placed DEF has rows, tracks and places.
proc read_def { path } {
  stub::note read_def $path
  if { "lef" ni $stub::state } { error "\[ERROR ODB-0227\] no technology" }
  lappend stub::state block rows tracks placed legal
}
sta::define_cmd_args global_placement {-density -routability_driven -random_seed -skip_io \
  -force_center_initial_place}

# LOW-HIGH stands for the layers between, as in OpenROAD.
rename set_global_routing_layer_adjustment stub::adjust
proc set_global_routing_layer_adjustment { layers value } {
  if { "tracks" ni $stub::state } { error "\[ERROR STUB-0001\] layer adjustment: no tracks yet" }
  lassign [split $layers -] low high
  if { $high eq "" } { return [stub::adjust $low $value] }
  stub::note set_global_routing_layer_adjustment $layers $value
  set names [dict keys $stub::layers]
  foreach name [lrange $names [lsearch $names $low] [lsearch $names $high]] {
    dict set stub::adjustments $name $value
  }
}

namespace eval ::grt { }
proc ::grt::have_routes { } { return 1 }
