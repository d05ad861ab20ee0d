# One placement of the closed loop: `openroad -exit gsr_loop_place.tcl` with GSR_LOOP_JOB, the job's
# TSV, in the environment. From a floorplan with placed pins, or from the placement that a plan was
# made for when the plan moves pins or takes insts out of it; with the plan, where one is given.

source [file join [file dirname [file normalize [info script]]] gsr_job.tcl]

namespace eval ::gsr {
proc run_place_job { job } {
  foreach path [job_words $job lef] { ::read_lef $path }
  ::read_def [job_word $job def]
  set_layers $job
  if { [job_word $job unplace] } { unplace_insts }
  set options [loop_placer_options $job]
  set plan [job_word $job plan]
  if { $plan ne "" } { ::gsr_apply_feedback -file $plan -out_dir [job_word $job out_dir] }
  lap global_placement { ::global_placement {*}$options }
  lap detailed_placement { ::detailed_placement }
  lap improve_placement { ::improve_placement }
  ::write_def [job_word $job placed]
  write_laps [job_word $job facts]
}

# As after initialize_floorplan.
proc unplace_insts { } {
  foreach inst [[block] getInsts] {
    if { [$inst isFixed] } { continue }
    $inst setPlacementStatus NONE
    $inst setOrient R0
    $inst setLocation 0 0
  }
}

# The margin over the lowest possible density is `density_margin`, or as PLACE_DENSITY_LB_ADDON has
# it. Every placement starts from the middle of the core, wherever insts were before.
proc loop_placer_options { job } {
  set uniform [uniform_density {}]
  if { $uniform eq "" } { raise_failure "gpl::get_global_placement_uniform_density tells nothing." }
  if { [dict exists $job density_lb_addon] } {
    set addon [job_word $job density_lb_addon]
    # with a plan, the density is computed again when its blockages are there
    set ::env(PLACE_DENSITY_LB_ADDON) $addon
    set density [orfs_density $uniform $addon]
  } else {
    set density [expr { $uniform + [job_word $job density_margin] }]
  }
  set options [list -density [expr { min(0.99, $density) }]]
  if { [knows_option global_placement -force_center_initial_place] } {
    lappend options -force_center_initial_place
  }
  return [concat $options [job_words $job options]]
}
}

::gsr::run_place_job [::gsr::read_job $::env(GSR_LOOP_JOB)]
