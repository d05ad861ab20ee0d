set gsr_tcl [file join [file dirname [file normalize [info script]]] .. gsr.tcl]
source [expr { [file isfile $gsr_tcl] ? $gsr_tcl : [file join $::env(GSR_HOME) gsr.tcl] }]
::gsr::run_hook PRE DENSITY_FILL
