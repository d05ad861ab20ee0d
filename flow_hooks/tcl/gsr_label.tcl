# One labelling job: `openroad -exit gsr_label.tcl` with GSR_LABEL_JOB, the job's TSV, in the
# environment. Floorplan, pins, placement as OpenROAD-flow-scripts does it, global route, labels
# and, where the job asks for it, a detailed route for labels of DRC violations; or from a placed
# DEF all that comes after the placement. Any error ends the process with exit code 1.

source [file join [file dirname [file normalize [info script]]] gsr_job.tcl]

namespace eval ::gsr {
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
  route_and_label $job $out_dir [is_timed $job] place
  if { [dict exists $job detailed_iterations] } { label_drc $job $out_dir }
}

# The violations that a detailed route leaves; the report is empty where there are none. Comes last,
# since it lays wires. OpenROAD stores 10,000 markers of a rule at most, those of the lowest layers:
# such a report would say that the others are clean.
proc label_drc { job out_dir } {
  set report [file join $out_dir route_drc.rpt]
  ::detailed_route -output_drc $report -droute_end_iter [job_word $job detailed_iterations] \
    -verbose 0
  set written [regexp -all -line {^violation type:} [read_bytes $report]]
  set found [::detailed_route_num_drvs]
  if { $written != $found } {
    raise_failure "detailed_route leaves $found violations, of which its report holds $written\
      (10,000 of a rule at most): raise detailed_iterations, or give the placement more room."
  }
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
