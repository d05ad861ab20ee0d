# The kit design from its netlist to a global route; each step can be written as DEF.

claim floorplan "LEF, Liberty, netlist and constraints make a floorplan" {
  variable kit
  read_kit
  ::read_liberty [file join $kit gsr45_typ.lib]
  ::read_verilog [file join $kit crc_bank.v.gz]
  ::link_design crc_bank
  ::read_sdc [file join $kit crc_bank.sdc]
  ::initialize_floorplan -utilization 70 -aspect_ratio 1 -core_space 3.2 -site gsr45_core
  ::make_tracks
  set_layers
  ::place_pins -hor_layers M3 -ver_layers M4
  ::write_db floorplan.odb
  return "[llength [[block] getInsts]] insts"
}

claim placement "it is placed as ORFS does it, and improve_placement shortens its wire" {
  use_design floorplan
  write_def floorplan.def
  place
  write_def global.def
  write_db global.odb
  ::detailed_placement
  write_def detailed.def
  write_db detailed.odb
  set before [hpwl_um]
  ::improve_placement
  set after [hpwl_um]
  ::optimize_mirroring
  ::check_placement -verbose
  write_def placed.def
  write_db placed.odb
  expect { $after < $before } "half-perimeter wire length $before um before, $after um after"
  return [format "%.0f um before, %.0f um after" $before $after]
}

claim routing "it is routed, and the gcell grid is filled" {
  use_design placed
  route
  write_def routed.def
  write_db routed.odb
  set sum 0.0
  dict for { _ pair } [gcells] { set sum [expr { $sum + [lindex $pair 1] }] }
  expect { $sum > 0 } "no usage at all"
  set grid [[block] getGCellGrid]
  return "[llength [$grid getGridX]] x [llength [$grid getGridY]] gcells"
}

claim def_reader "our reader finds in each step's DEF what the database has" {
  use_design placed
  set wanted [list [llength [[block] getInsts]] [num_signal_nets] [llength [[block] getBTerms]]]
  foreach step { floorplan global detailed placed routed } {
    set found [python {
from circuit_io.def_ import read_def
d = read_def(sys.argv[1])
print(len(d.inst_names), len(d.net_names), len(d.bterm_names))
    } $step.def]
    expect { $found eq $wanted } "$step.def: $found insts, nets and ports, the database has $wanted"
  }
  return "[lindex $wanted 0] insts, [lindex $wanted 1] nets, [lindex $wanted 2] ports in 5 files"
}

claim gcell_lines "our gcells are the router's" {
  variable kit
  use_design routed
  set grid [[block] getGCellGrid]
  set ours [python {
from pathlib import Path
from circuit_io.design import read_design
from circuit_io.gcells import make_grid
d = read_design([Path(sys.argv[2]), Path(sys.argv[3])], Path(sys.argv[1]))
grid = make_grid(d.die_dbu, d.layers, signal_layers=("M2", "M5"))
print(*grid.x_dbu()[:-1], ",", *grid.y_dbu()[:-1])
  } routed.def [file join $kit gsr45_tech.lef] [file join $kit gsr45_cells.lef]]
  set theirs "[join [$grid getGridX]] , [join [$grid getGridY]]"
  expect { $ours eq $theirs } "ours $ours, the router's $theirs"
  return "[llength [$grid getGridX]] x [llength [$grid getGridY]]"
}

claim names "a name is a name: found as it is, written to DEF, read back" {
  use_design placed
  set master [[lindex [[block] getInsts] end] getMaster]
  set names { a[0] star* b/c d.e f$g q?mark 100% x{y z}w }
  foreach name $names {
    set inst [::odb::dbInst_create [block] $master $name]
    expect { $inst ne "NULL" } "cannot create $name"
    $inst setLocation 0 0
    $inst setPlacementStatus PLACED
    expect { [[[block] findInst $name] getName] eq $name } "$name is not found"
  }
  foreach part { sta star *mark * } {
    expect { [[block] findInst $part] eq "NULL" } "findInst $part finds"
  }
  ::write_def names.def
  set found [python {
from circuit_io.def_ import read_def
from circuit_io.name_parts import *
print(*read_def(sys.argv[1]).inst_names.tolist()[-int(sys.argv[2]):], sep="\n")
  } names.def [llength $names]]
  return [join [split $found \n]]
}
