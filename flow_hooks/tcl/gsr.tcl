# gsr: predict routing congestion inside an OpenROAD flow, and feed the prediction back.
#
#   source [file join $::env(GSR_HOME) gsr.tcl]      ;# GSR_HOME: what `gsr hooks --path` prints
#   gsr_predict -out_dir gsr                         ;# or let the ORFS hooks do it: docs/flow.md
#
# Plain Tcl 8.6 or 9.0, no package is required. Every global command begins with gsr_, because
# OpenSTA completes unknown commands by unique abbreviation: another prefix could break a user's
# script. Sourcing twice is harmless: what an earlier hook of the process applied is remembered.

if { [info exists ::gsr::loaded] } { return }

namespace eval ::gsr {
variable version 0.1.0
variable home [file dirname [file normalize [info script]]]
}

foreach gsr_part {
  base text child steps design layers predict plan record snapshot moves apply placement rounds
  annotate heatmap access labels hooks
} {
  source [file join $::gsr::home gsr_$gsr_part.tcl]
}
unset gsr_part

# The commands. `gsr::run_command` reads the arguments, turns a failure into a warning (or an
# error when GSR_ON_ERROR=fail) and returns the result.

proc ::gsr_export_design { args } {
  return [::gsr::run_command gsr_export_design $args]
}

proc ::gsr_predict { args } {
  return [::gsr::run_command gsr_predict $args]
}

proc ::gsr_apply_feedback { args } {
  return [::gsr::run_command gsr_apply_feedback $args]
}

proc ::gsr_loop_placement { args } {
  return [::gsr::run_command gsr_loop_placement $args]
}

proc ::gsr_clear_feedback { args } {
  return [::gsr::run_command gsr_clear_feedback $args]
}

proc ::gsr_annotate { args } {
  return [::gsr::run_command gsr_annotate $args]
}

proc ::gsr_report_prediction { args } {
  return [::gsr::run_command gsr_report_prediction $args]
}

proc ::gsr_check_gate { args } {
  return [::gsr::run_command gsr_check_gate $args]
}

proc ::gsr_export_labels { args } {
  return [::gsr::run_command gsr_export_labels $args]
}

proc ::gsr_access_points { args } {
  return [::gsr::run_command gsr_access_points $args]
}

proc ::gsr_show_heatmap { args } {
  return [::gsr::run_command gsr_show_heatmap $args]
}

proc ::gsr_version { args } {
  return [::gsr::run_command gsr_version $args]
}

set ::gsr::loaded 1
