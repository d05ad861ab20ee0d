# `make gsr_predict`: the prediction for a finished step of the flow, from its .odb.

source [file join [file dirname [file normalize [info script]]] gsr.tcl]
read_db $::env(GSR_ODB)
::gsr::predict_odb $::env(GSR_ODB)
