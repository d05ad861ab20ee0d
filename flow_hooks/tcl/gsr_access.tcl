# Access points: where pin_access puts the pins of masters, which is where the global router goes.
# The preferred point follows from master, orientation and pin, so that the table of one design
# serves the others of its library.

namespace eval ::gsr {
variable access_insts 8 ;# of a master and orientation that are looked at, since pins may be open

proc do_access_points { options } {
  set path [option $options file]
  if { $path eq "" } { set path [file join [default_out_dir] access_points.csv] }
  set count [write_access_points [require_block] [file normalize $path]]
  if { $count == 0 } { raise_failure "no access points in the design: call pin_access first." }
  return [dict create status ok file [file normalize $path] pins $count]
}

# Writes the table; the number of its lines. 0, and no file, where there are no access points.
proc write_access_points { block path } {
  variable access_insts
  set per_um [expr { double([$block getDbUnitsPerMicron]) }]
  set looked [dict create]
  set found [dict create]
  foreach inst [$block getInsts] {
    set key [list [[$inst getMaster] getName] [$inst getOrient]]
    if { [dict exists $looked $key] && [dict get $looked $key] >= $access_insts } { continue }
    dict incr looked $key
    foreach iterm [$inst getITerms] {
      set pin [list {*}$key [[$iterm getMTerm] getName]]
      if { [dict exists $found $pin] } { continue }
      if { [catch { $iterm getPrefAccessPoints } points] || [llength $points] == 0 } { continue }
      lassign [[lindex $points 0] getPoint] x y
      set layer [[[lindex $points 0] getLayer] getName]
      dict set found $pin [list [expr { $x / $per_um }] [expr { $y / $per_um }] $layer]
    }
  }
  if { [dict size $found] == 0 } { return 0 }
  set text "master,orient,pin,x_um,y_um,layer\n"
  foreach pin [lsort [dict keys $found]] {
    lassign [dict get $found $pin] x y layer
    lassign $pin master orient name
    append text "[csv_field $master],$orient,[csv_field $name],"
    append text "[json_number $x],[json_number $y],[csv_field $layer]\n"
  }
  write_file $path [encoding convertto utf-8 $text]
  return [dict size $found]
}
}
