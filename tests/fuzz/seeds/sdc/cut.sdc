!set_load,1,port:a
create_clock,-period,10,x
