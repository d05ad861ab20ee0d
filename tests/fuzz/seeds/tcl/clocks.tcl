# a comment with { an open brace
set_units -time 1ps -capacitance fF
current_design top
set period 1000
set clk [get_ports {clk}]
create_clock -name core -period $period -waveform {0 400} $clk
create_generated_clock -name half -source [get_ports clk] -divide_by 2 [get_pins ff/Q]
set rest [lsearch -inline -all -not -exact [all_inputs] $clk]
set_input_delay -max [expr 0.2 * $period] -clock core $rest
set_output_delay -min 5 -clock virt [get_ports {q[*]}] ; set_load 3.5 [all_outputs]
foreach p {x y} {set_load -pin_load 2 [get_ports $p]}
foreach_in_collection p [get_ports {v w}] {set_false_path -from $p}
if {[info exists ::env(A)]} {create_clock -name no -period 1}
proc f {a args} {return [list $a {*}$args]}
set_max_fanout 20 [current_design]
puts [get_object_name [f a b]]
set_clock_groups -asynchronous \
  -group {core} -group {virt}
