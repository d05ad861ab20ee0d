# The access points of a library: `openroad -exit gsr_library_access.tcl` with GSR_ACCESS_JOB, the
# job's TSV, in the environment. Reads a design that holds every master, and writes where pin_access
# puts their pins. Any error ends the process with exit code 1.

source [file join [file dirname [file normalize [info script]]] gsr_job.tcl]

namespace eval ::gsr {
proc run_access_job { job } {
  foreach path [job_words $job lef] { ::read_lef $path }
  ::read_def [job_word $job def]
  if { ![source_platform $job tracks] } { ::make_tracks }
  set_layers $job
  ::set_thread_count [job_word $job threads]
  ::pin_access {*}[job_words $job pin_access_args]
  set counts [write_access_points [require_block] [job_word $job points] [job_word $job num_insts]]
  write_laps [job_word $job facts] [list differing [lindex $counts 1]]
}
}

::gsr::run_access_job [::gsr::read_job $::env(GSR_ACCESS_JOB)]
