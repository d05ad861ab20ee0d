add_global_connection -net VDD -pin_pattern VDD -power
add_global_connection -net VSS -pin_pattern VSS -ground
global_connect
set_voltage_domain -power VDD -ground VSS
define_pdn_grid -name core
add_pdn_stripe -grid core -followpins -layer M1
add_pdn_stripe -grid core -layer M4 -width 0.48 -pitch 16 -offset 4
add_pdn_stripe -grid core -layer M5 -width 0.48 -pitch 16 -offset 4
add_pdn_connect -grid core -layers {M1 M4}
add_pdn_connect -grid core -layers {M4 M5}
if { [find_macros] ne "" } {
  define_pdn_grid -macro -default -name blocks -grid_over_pg_pins -halo 1
  add_pdn_connect -grid blocks -layers {M4 M5}
}
