add_global_connection -net VDD -pin_pattern {^VDD$} -power
add_global_connection -net VSS -pin_pattern {^VSS$} -ground
global_connect
set_voltage_domain -name CORE -power VDD -ground VSS
define_pdn_grid -name grid -voltage_domains CORE
add_pdn_stripe -grid grid -layer Metal1 -width 0.44 -pitch 7.56 -offset 0 -followpins
add_pdn_stripe -grid grid -layer Metal5 -width 2.2 -pitch 40 -offset 10
add_pdn_connect -grid grid -layers { Metal1 Metal5 }
