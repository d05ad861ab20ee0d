# The labels of a finished run: `openroad -exit gsr_label_odb.tcl` with GSR_LABEL_JOB, the job's
# TSV, in the environment. The database holds the gcells as the flow's router left them; slack needs
# Liberty, constraints, and the routes that the router reads from the database.

source [file join [file dirname [file normalize [info script]]] gsr_job.tcl]

namespace eval ::gsr {
proc label_odb { job } {
  foreach path [job_words $job lib] { ::read_liberty $path }
  ::read_db [job_word $job odb]
  set out_dir [job_word $job out_dir]
  set kinds { grt wire_length }
  if { [is_timed $job] && [::grt::have_routes] } {
    read_constraints $job
    ::estimate_parasitics -global_routing
    lappend kinds timing
  }
  return [export_labels $out_dir $kinds grt]
}
}

::gsr::label_odb [::gsr::read_job $::env(GSR_LABEL_JOB)]
