# One labelling job: `openroad -exit gsr_label.tcl` with GSR_LABEL_JOB, the job's TSV, in the
# environment. Floorplan, pins, placement as OpenROAD-flow-scripts does it, global route, labels; or
# from a placed DEF the last two. Any error ends the process with exit code 1.

source [file join [file dirname [file normalize [info script]]] gsr.tcl]

namespace eval ::gsr {
# The job as a dict of lists of words.
proc read_job { path } {
  set job [dict create]
  dict for { key value } [read_pairs $path] {
    dict set job $key [lmap word [regexp -all -inline {[^ ]+} $value] { percent_decode $word }]
  }
  return $job
}

proc job_words { job key } {
  if { [dict exists $job $key] } { return [dict get $job $key] }
  return {}
}

proc job_word { job key { default "" } } {
  set words [job_words $job $key]
  if { [llength $words] == 0 } { return $default }
  return [lindex $words 0]
}

proc run_label_job { job } {
  foreach path [job_words $job lef] { ::read_lef $path }
  foreach path [job_words $job lib] { ::read_liberty $path }
  set out_dir [job_word $job out_dir]
  if { [dict exists $job def] } {
    ::read_def [job_word $job def]
    read_constraints $job
    set_layers $job
  } else {
    ::read_verilog [job_word $job netlist]
    ::link_design [job_word $job top]
    read_constraints $job
    make_floorplan $job
    make_placement $job
  }
  set is_timed [expr { [dict exists $job sdc] && [dict exists $job lib] }]
  if { $is_timed } {
    ::estimate_parasitics -placement
    labels_timing [require_block] $out_dir place
  }
  ::global_route -allow_congestion \
    -congestion_iterations [job_word $job congestion_iterations] \
    -congestion_report_file [file join $out_dir congestion.rpt]
  set kinds { grt wire_length }
  if { $is_timed } {
    ::estimate_parasitics -global_routing
    lappend kinds timing
  }
  return [export_labels $out_dir $kinds grt]
}

proc read_constraints { job } {
  foreach path [job_words $job sdc] { ::read_sdc $path }
}

# Needs tracks. Layers that no adjustment is given for have 0.
proc set_layers { job } {
  set range [job_word $job signal_layers]
  foreach { layers value } [job_words $job layer_adjustment] {
    ::set_global_routing_layer_adjustment $layers $value
  }
  set clock [job_word $job clock_layers]
  if { $clock ne "" } { ::set_routing_layers -clock $clock }
  ::set_routing_layers -signal $range
  source_platform $job rc
}

proc source_platform { job key } {
  set path [job_word $job $key]
  if { $path eq "" } { return 0 }
  uplevel #0 [list source $path]
  return 1
}

proc make_floorplan { job } {
  ::initialize_floorplan -utilization [expr { 100 * [job_word $job utilization] }] \
    -aspect_ratio [job_word $job aspect] -core_space [job_word $job core_margin_um] \
    -site [job_word $job site]
  if { ![source_platform $job tracks] } { ::make_tracks }
  set_layers $job
  source_platform $job macros
  if { [dict exists $job power_grid] } {
    if { ![source_platform $job taps] } { ::cut_rows }
    source_platform $job power_grid
    ::pdngen
  } elseif { [dict exists $job macros] } {
    ::cut_rows
  }
}

proc make_placement { job } {
  ::global_placement -skip_io {*}[placer_options $job]
  lassign [job_words $job pin_layers] horizontal vertical
  ::place_pins -hor_layers $horizontal -ver_layers $vertical
  set options [placer_options $job]
  if { [job_word $job routability_driven 0] } { lappend options -routability_driven }
  if { [knows_option global_placement -force_center_initial_place] } {
    lappend options -force_center_initial_place
  }
  ::global_placement {*}$options
  ::detailed_placement
  if { [job_word $job improve_placement 0] } { ::improve_placement }
  ::optimize_mirroring
  ::check_placement -verbose
}

# The density of PLACE_DENSITY_LB_ADDON, and the seed where this OpenROAD knows seeds.
proc placer_options { job } {
  set uniform [uniform_density {}]
  if { $uniform eq "" } { raise_failure "gpl::get_global_placement_uniform_density tells nothing." }
  set density [orfs_density $uniform [job_word $job density_lb_addon]]
  set options [list -density [format %.4f [expr { min(1.0, $density) }]]]
  set seed [job_word $job seed 0]
  if { $seed != 0 } {
    if { ![knows_option global_placement -random_seed] } {
      raise_failure "this OpenROAD's global_placement has no -random_seed: use seed 0."
    }
    lappend options -random_seed $seed
  }
  return $options
}
}

::gsr::run_label_job [::gsr::read_job $::env(GSR_LABEL_JOB)]
