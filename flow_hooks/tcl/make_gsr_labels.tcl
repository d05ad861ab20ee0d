# `make gsr_labels`: the labels of a globally routed design, from its .odb.

source [file join [file dirname [file normalize [info script]]] gsr.tcl]
source [file join $::env(SCRIPTS_DIR) load.tcl]
load_design [file tail $::env(GSR_ODB)] [::gsr::sdc_of_odb $::env(GSR_ODB)]
::gsr::labels_odb
