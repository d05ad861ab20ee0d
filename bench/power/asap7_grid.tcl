add_global_connection -net VDD -pin_pattern {^VDD$} -power
add_global_connection -net VSS -pin_pattern {^VSS$} -ground
global_connect
set_voltage_domain -name CORE -power VDD -ground VSS
define_pdn_grid -name grid -voltage_domains CORE
add_pdn_stripe -grid grid -layer M1 -width 0.018 -pitch 0.54 -offset 0 -followpins
add_pdn_stripe -grid grid -layer M2 -width 0.018 -pitch 0.54 -offset 0 -followpins
add_pdn_stripe -grid grid -layer M5 -width 0.12 -spacing 0.072 -pitch 5.4 -offset 0.3
add_pdn_connect -grid grid -layers { M1 M2 }
add_pdn_connect -grid grid -layers { M2 M5 }
