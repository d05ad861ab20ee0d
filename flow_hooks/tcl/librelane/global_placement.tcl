# LibreLane's global placement with the plan in GSR_PREDICTION_DIR, or in rounds: placed, predicted,
# planned, placed again.
source $::env(_TCL_ENV_IN)
source [file join [file dirname [file normalize [info script]]] .. gsr.tcl]

# Its script has no hooks: the first call finds the design loaded, and is armed.
rename ::global_placement ::gsr::stock_global_placement
proc ::global_placement { args } {
  rename ::global_placement {}
  rename ::gsr::stock_global_placement ::global_placement
  if { [::gsr::setting GSR_PREDICTION_DIR] ne "" } {
    gsr_apply_feedback -step GLOBAL_PLACE
  } else {
    gsr_loop_placement
  }
  return [::global_placement {*}$args]
}

source [file join $::env(SCRIPTS_DIR) openroad gpl.tcl]
