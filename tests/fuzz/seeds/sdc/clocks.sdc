set_units,-time,1ps,-capacitance,fF
current_design,top
create_clock,-name,core,-period,1000,-waveform,0 400,port:clk
create_clock,-per,2000,pin:u1/u2/Z
create_generated_clock,-name,half,-source,port:clk,-divide_by,2,pin:ff/Q
create_generated_clock,-name,fast,-source,u,-master_clock,half,-multiply_by,4,-add,pin:pll/CK
create_generated_clock,-name,e,-edges,1 3 5,-source,port:clk,x
set_input_delay,-max,0.2,-clock,core,all:inputs
set_output_delay,-min,5,-clock,virt,port:q[*] port:b
set_load,-pin_load,3.5,all:outputs
set_driving_cell,-lib_cell,BUF_X1,-pin,Z,port:a
set_false_path,-from,port:v
set_max_fanout,20,design:top
set_max_transition,100,top
set_max_capacitance,7,port:a
get_ports,x
no_such,1
