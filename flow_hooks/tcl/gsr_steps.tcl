# The steps of OpenROAD-flow-scripts, and what the design is before and after each.

namespace eval ::gsr {
# ORFS's steps in order: stage of the design after the step, number of its files, prefix of its
# metrics, and the constraints that it reads.
variable steps {
  SYNTH { synth 1 synth 1_synth.sdc }
  FLOORPLAN { floorplan 2 floorplan 1_synth.sdc }
  MACRO_PLACE { floorplan 2 floorplan 2_1_floorplan.sdc }
  TAPCELL { floorplan 2 floorplan 2_1_floorplan.sdc }
  PDN { floorplan 2 floorplan 2_1_floorplan.sdc }
  GLOBAL_PLACE_SKIP_IO { place 3 globalplace_skip_io 2_floorplan.sdc }
  IO_PLACEMENT { place 3 globalplace_io 2_floorplan.sdc }
  GLOBAL_PLACE { place 3 globalplace 2_floorplan.sdc }
  RESIZE { place 3 placeopt 2_floorplan.sdc }
  DETAIL_PLACE { place 3 detailedplace 2_floorplan.sdc }
  CTS { cts 4 cts 3_place.sdc }
  GLOBAL_ROUTE { grt 5 globalroute 4_cts.sdc }
  DETAIL_ROUTE { route 5 detailedroute 5_1_grt.sdc }
  FILLCELL { route 5 detailedroute 5_1_grt.sdc }
  DENSITY_FILL { final 6 finish 5_route.sdc }
  FINAL_REPORT { final 6 finish 5_route.sdc }
}

# What a hook knows about its step, as a dict: stage, step, when, metrics_stage, metrics_file,
# sdc.
proc step_facts { when step } {
  variable steps
  set names [dict keys $steps]
  set at [lsearch -exact $names $step]
  if { $at < 0 } { raise_failure "\"$step\" is not a step ([join $names {, }])." }
  lassign [dict get $steps $step] stage number prefix sdc
  set file ${number}_9_gsr_[string tolower $step].json
  if { $when eq "PRE" } {
    # before a step the design is what the step before has left
    lassign [dict get $steps [lindex $names [expr { max(0, $at - 1) }]]] stage _ prefix
    set file ${number}_0_gsr_[string tolower $step].json
    if { $step eq "GLOBAL_ROUTE" } { set file 5_0_gsr.json }
  }
  return [dict create stage $stage step [string tolower $step] when [string tolower $when] \
    metrics_stage $prefix metrics_file $file sdc $sdc]
}

# `PRE_GLOBAL_ROUTE` or `pre_global_route` as { PRE GLOBAL_ROUTE }.
proc split_hook { hook } {
  if { [regexp -nocase {^(PRE|POST)_([A-Z_]+)$} $hook _ when step] } {
    return [list [string toupper $when] [string toupper $step]]
  }
  return [list POST [string toupper $hook]]
}

proc facts_from_options { options } {
  set facts [dict create stage place step "" when "" metrics_stage detailedplace \
    metrics_file "" sdc ""]
  if { [option $options step] ne "" } {
    set facts [step_facts {*}[split_hook [option $options step]]]
  }
  if { [option $options stage] ne "" } { dict set facts stage [option $options stage] }
  return $facts
}
}
