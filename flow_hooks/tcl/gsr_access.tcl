# Access points: where pin_access puts the pins of masters, which is where the global router goes.
# The preferred point follows from master, orientation and pin, so that the table of one design
# serves the others of its library.

namespace eval ::gsr {
variable access_insts 8 ;# of a master and orientation that are looked at, since pins may be open

proc do_access_points { options } {
  set path [option $options file]
  if { $path eq "" } { set path [file join [default_out_dir] access_points.csv] }
  lassign [write_access_points [require_block] [file normalize $path]] pins differing
  if { $pins == 0 } { raise_failure "no access points in the design: call pin_access first." }
  return [dict create status ok file [file normalize $path] pins $pins differing $differing]
}

# Writes the table, each pin where most of the insts looked at have it; the number of its lines, and
# of those where they differ. 0, and no file, where there are no access points.
proc write_access_points { block path { most_insts 0 } } {
  variable access_insts
  if { $most_insts == 0 } { set most_insts $access_insts }
  set per_um [expr { double([$block getDbUnitsPerMicron]) }]
  set looked [dict create]
  set seen [dict create]
  foreach inst [$block getInsts] {
    set key [list [[$inst getMaster] getName] [$inst getOrient]]
    if { [dict exists $looked $key] && [dict get $looked $key] >= $most_insts } { continue }
    dict incr looked $key
    foreach iterm [$inst getITerms] {
      if { [catch { $iterm getPrefAccessPoints } points] || [llength $points] == 0 } { continue }
      set pin [list {*}$key [[$iterm getMTerm] getName]]
      lassign [[lindex $points 0] getPoint] x y
      set point [list $x $y [[[lindex $points 0] getLayer] getName]]
      set count 1
      if { [dict exists $seen $pin $point] } { incr count [dict get $seen $pin $point] }
      dict set seen $pin $point $count
    }
  }
  if { [dict size $seen] == 0 } { return [list 0 0] }
  set differing 0
  set text "master,orient,pin,x_um,y_um,layer\n"
  foreach pin [lsort [dict keys $seen]] {
    set points [dict get $seen $pin]
    if { [dict size $points] > 1 } { incr differing }
    # a stable sort: of two that are as frequent, the one that was seen first
    lassign [lindex [lsort -integer -decreasing -stride 2 -index 1 $points] 0] x y layer
    lassign $pin master orient name
    append text "[csv_field $master],$orient,[csv_field $name],"
    append text "[json_number [expr { $x / $per_um }]],[json_number [expr { $y / $per_um }]],"
    append text "[csv_field $layer]\n"
  }
  write_file $path [encoding convertto utf-8 $text]
  return [list [dict size $seen] $differing]
}
}
