# What the database keeps: markers, properties, maps.

claim markers_json "our markers.json is read, and lasts in the .odb" {
  needs_command odb::dbMarkerCategory_fromJSON
  return [markers_last fromJSON markers.json]
}

claim markers_tr "our markers.rpt is read, and lasts in the .odb" {
  needs_command odb::dbMarkerCategory_fromTR
  return [markers_last fromTR markers.rpt]
}

claim markers_replaced "markers read again replace those of the same name" {
  needs_command odb::dbMarkerCategory_fromJSON
  use_design placed
  foreach _ { 1 2 } {
    ::odb::dbMarkerCategory_fromJSON [[block] getChip] [prediction markers.json]
  }
  set found [llength [marker_boxes]]
  expect { $found == 3 } "$found markers after reading three twice"
  return "$found markers"
}

claim markers_written "the markers come out again as JSON and as TR" {
  needs_command odb::dbMarkerCategory_fromJSON
  use_design placed
  ::odb::dbMarkerCategory_fromJSON [[block] getChip] [prediction markers.json]
  set category [find_category]
  $category writeJSON out.json
  $category writeTR out.rpt
  set first [text_of out.json]
  ::odb::dbMarkerCategory_fromJSON [[block] getChip] out.json
  [find_category] writeJSON again.json
  expect { $first eq [text_of again.json] } "another JSON after reading it"
  expect { [regexp -all -line {^violation type:} [text_of out.rpt]] == 3 } [text_of out.rpt]
  return "3 of 3"
}

claim properties "a property of an inst lasts in the .odb; creating it again gives none" {
  told {
    use_design placed
    set inst [lindex [[block] getInsts] 7]
    odb::dbDoubleProperty_create $inst gsr_congestion 0.25
    set again [odb::dbDoubleProperty_create $inst gsr_congestion 0.75]
    [odb::dbDoubleProperty_find $inst gsr_congestion] setValue 0.5
    write_db properties.odb
    answer $again
  }
  use_design properties
  set inst [lindex [[block] getInsts] 7]
  set property [::odb::dbDoubleProperty_find $inst gsr_congestion]
  expect { $property ni { NULL "" } } "it is not there"
  expect { [$property getValue] == 0.5 } [$property getValue]
  set other [::odb::dbDoubleProperty_find [lindex [[block] getInsts] 8] gsr_congestion]
  expect { $other in { NULL "" } } "another inst has it as well"
  return [$property getValue]
}

claim properties_in_def "properties of ours do not come into the DEF" {
  use_design placed
  set before [def_text]
  ::odb::dbDoubleProperty_create [lindex [[block] getInsts] 7] gsr_congestion 0.25
  expect { [def_text] eq $before } "the DEF differs"
  return "the same DEF"
}

claim net_weight "the weight of a net changes nothing in the placer" {
  needs_command odb::dbNet_setWeight
  told {
    use_design floorplan
    foreach net [[block] getNets] { $net setWeight 50 }
    place
    foreach net [[block] getNets] { $net setWeight 1 }
    write_def weights.def
  }
  expect { [text_of weights.def] eq [text_of global.def] } "another placement"
  return "the same placement"
}

claim odb_bytes "write_db writes the same bytes again" {
  use_design placed
  ::write_db one.odb
  ::write_db two.odb
  expect { [text_of one.odb] eq [text_of two.odb] } "they differ"
  return "[file size one.odb] bytes"
}

claim map_in_grid "the gcell grid takes a predicted map, cell by cell" {
  use_design placed
  set grid [[block] getGCellGrid]
  if { $grid eq "NULL" } { set grid [::odb::dbGCellGrid_create [block]] }
  $grid resetGrid
  $grid addGridPatternX 0 20 6000
  $grid addGridPatternY 0 20 6000
  set layer [[::ord::get_db_tech] findLayer M3]
  $grid setCapacity $layer 3 4 1.0
  $grid setUsage $layer 3 4 0.75
  expect { [llength [$grid getGridX]] == 20 } "[llength [$grid getGridX]] columns"
  expect { [$grid getUsage $layer 3 4] == 0.75 } "[$grid getUsage $layer 3 4]"
  expect { [$grid getUsage $layer 4 3] == 0 } "a neighbour has it as well"
  return "20 columns, usage [$grid getUsage $layer 3 4]"
}

claim lef_written "write_lef writes what the design needs to be read again" {
  use_design placed
  needs_command write_lef
  ::write_lef kit_out.lef
  set files [lsort [glob kit_out*.lef]]
  set found [python {
from pathlib import Path
from circuit_io.design import read_design
d = read_design([Path(p) for p in sys.argv[2:]], Path(sys.argv[1]))
print(d.num_insts, len(d.layers))
  } placed.def {*}$files]
  expect { [lindex $found 0] == [llength [[block] getInsts]] } "$found insts and layers"
  return "[llength $files] files, [lindex $found 1] routing layers"
}

claim python "openroad -python reads the database that Tcl wrote" {
  set compiled 1
  catch { set compiled [::ord::openroad_python_compiled] }
  if { !$compiled } { absent "it is built without Python" }
  use_design floorplan
  set num_insts [llength [[block] getInsts]]
  write_text count.py "import odb, sys
from openroad import Design, Tech
tech = Tech()
design = Design(tech)
design.readDb('floorplan.odb')
print('insts:', len(design.getBlock().getInsts()), 'Python', sys.version.split()\[0\])"
  set command [list $::env(GSR_OPENROAD) -exit -no_init -no_splash -python count.py]
  lassign [run_program $command] code output
  expect { [regexp -line {^insts: (\d+) (.*)$} $output _ found version] } \
    "exit code $code: [complaint $output]"
  expect { $found == $num_insts } "$found insts, not $num_insts"
  return $version
}
