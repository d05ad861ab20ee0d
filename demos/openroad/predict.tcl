# openroad -exit demos/openroad/predict.tcl: the congestion of a placed design, in plain Tcl.
set kit [file join [file dirname [file normalize [info script]]] .. kit]
foreach name { tech cells } { read_lef $kit/tech/gsr45_$name.lef }
read_liberty $kit/tech/gsr45_typ.lib
read_def $kit/labels/gsr45/xbar16/v1/placed.def.gz
set_routing_layers -signal M2-M5
set_global_routing_layer_adjustment M2-M5 0.2
source [file join [exec gsr hooks --path] gsr.tcl]
gsr_predict -out_dir out/openroad/tcl
gsr_report_prediction -out_dir out/openroad/tcl -worst 5
