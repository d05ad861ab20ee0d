# What the claims about gsr's own commands share.

namespace eval ::claims {
# gsr's own commands, with settings for this process.
proc use_gsr { args } {
  variable here
  foreach { name value } $args {
    set ::env($name) $value
  }
  uplevel #0 [list source [file join $here .. gsr.tcl]]
}

# gsr with the kit's files and the Python that runs `gsr conformance`.
proc use_kit_settings { mode } {
  variable kit
  use_gsr GSR_MODE $mode GSR_PYTHON $::env(GSR_CLAIM_PYTHON) GSR_LEFS [kit_lefs] \
    GSR_LIBS [list [file join $kit gsr45_typ.lib]] GSR_OUT_ROOT [file normalize gsr]
}

proc kit_lefs { } {
  variable kit
  return [list [file join $kit gsr45_tech.lef] [file join $kit gsr45_cells.lef]]
}

# A program of sh that stands where Python is looked for.
proc fake_python { name body } {
  write_text $name "#!/bin/sh\n$body"
  file attributes $name -permissions 0755
  return [file normalize $name]
}

# A plan for the loaded design; a row has the nine columns.
proc write_plan { path args } {
  set die [[block] getDieArea]
  set um [um [list [$die xMin] [$die yMin] [$die xMax] [$die yMax]]]
  set lines [list "#gsr-feedback 1 design=[[block] getName] die_um=[join $um ,]" \
    [join { action target x1 y1 x2 y2 layer value score } \t]]
  foreach row $args { lappend lines [join $row \t] }
  write_text $path [join $lines \n]
}

# A file of the prediction that `gsr conformance` has made up: two hot spots and a place of
# likely violations.
proc prediction { name } {
  return [file join $::env(GSR_CLAIM_PREDICTION) $name]
}

proc find_category { } {
  set name "GSR congestion"
  set category [[[block] getChip] findMarkerCategory $name]
  if { $category in { NULL "" } } { error "there is no category \"$name\"" }
  return $category
}

# The box in um of each marker, which is in a category for its kind.
proc marker_boxes { } {
  set boxes {}
  foreach category [[find_category] getMarkerCategories] {
    foreach marker [$category getMarkers] {
      set box [$marker getBBox]
      lappend boxes [um [list [$box xMin] [$box yMin] [$box xMax] [$box yMax]]]
    }
  }
  return [lsort $boxes]
}

# Reads markers in one process, and finds them in another.
proc markers_last { form file } {
  set arguments [list [prediction $file]]
  if { $form eq "fromTR" } { set arguments [linsert $arguments 0 "GSR congestion"] }
  told [filled {
    use_design placed
    odb::dbMarkerCategory_@form@ [[block] getChip] @arguments@
    write_db @form@.odb
  } form $form arguments $arguments]
  use_design $form
  set boxes [marker_boxes]
  set made_up [list {10.0 20.0 30.5 40.0} {30.0 20.0 36.0 40.0} {40.0 20.0 46.0 26.0}]
  expect { $boxes eq $made_up } "markers at $boxes"
  return "markers at [join $boxes {, }] um"
}
}
