# SPDX-License-Identifier: BSD-3-Clause
# Timing of each netlist with ideal wires, in OpenSTA. Run from the folder of the kit:
#   sta -exit check/timing.tcl

proc design_names {} {
  set file [open designs.toml]
  set names [regexp -all -inline -line {^\[(\w+)\]} [read $file]]
  close $file
  set result {}
  foreach {whole name} $names { lappend result $name }
  return $result
}

foreach design [design_names] {
  read_liberty tech/gsr45_typ.lib
  set netlist [exec mktemp]  ;# OpenSTA before 2020 reads no gzip
  exec gunzip -c netlists/$design.v.gz > $netlist
  read_verilog $netlist
  file delete $netlist
  link_design $design
  read_sdc rtl/$design.sdc
  puts "design $design"
  check_setup -verbose
  report_worst_slack
  report_tns
  report_checks -path_delay max -format end
  report_checks -path_delay min -format end
}
