# The judge of the closed loop: `openroad -exit gsr_loop_judge.tcl` with GSR_LOOP_JOB, the TSV of a
# job, in the environment. A fresh process that knows the placed DEF alone, checks that it is legal,
# and routes it with the layers and adjustments of the case.

source [file join [file dirname [file normalize [info script]]] gsr_job.tcl]

namespace eval ::gsr {
proc run_judge_job { job } {
  foreach path [job_words $job lef] { ::read_lef $path }
  foreach path [job_words $job lib] { ::read_liberty $path }
  ::read_def [job_word $job def]
  set is_timed [is_timed $job]
  set fault ""
  # constraints that lean on variables of a flow cannot be read outside it
  if { $is_timed && [catch { read_constraints $job } fault] } { set is_timed 0 }
  set_layers $job
  ::check_placement -verbose
  route_and_label $job [job_word $job out_dir] $is_timed
  write_laps [job_word $job facts] [list timing_fault [expr { $is_timed ? "" : $fault }]]
}
}

::gsr::run_judge_job [::gsr::read_job $::env(GSR_LOOP_JOB)]
