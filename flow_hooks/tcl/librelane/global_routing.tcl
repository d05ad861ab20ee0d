# LibreLane's global routing with the router's part of a plan, and the prediction in the database
# that it writes.
source $::env(_TCL_ENV_IN)
source [file join [file dirname [file normalize [info script]]] .. gsr.tcl]

# Its script has no hooks: the first call finds the design loaded, and the views not yet written.
rename ::global_route ::gsr::stock_global_route
proc ::global_route { args } {
  rename ::global_route {}
  rename ::gsr::stock_global_route ::global_route
  if { [::gsr::mode] eq "apply" } { gsr_apply_feedback -step GLOBAL_ROUTE }
  try {
    set result [::global_route {*}$args]
  } finally {
    gsr_clear_feedback -step GLOBAL_ROUTE
  }
  gsr_annotate
  return $result
}

source [file join $::env(SCRIPTS_DIR) openroad grt.tcl]
