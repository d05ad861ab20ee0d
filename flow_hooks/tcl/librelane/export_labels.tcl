# Labels of the routed database of a LibreLane state.
source $::env(_TCL_ENV_IN)
source [file join $::env(SCRIPTS_DIR) openroad common io.tcl]
source [file join [file dirname [file normalize [info script]]] .. gsr.tcl]
read_current_odb
::gsr::labels_odb
