# Up to four macros of one size, one in each corner of the core, on its rows and sites.
set core [[ord::get_db_block] getCoreArea]
set site [[lindex [[ord::get_db_block] getRows] 0] getSite]
set i 0
foreach inst [[ord::get_db_block] getInsts] {
  if { ![[$inst getMaster] isBlock] } { continue }
  set x [expr { $i % 2 ? [$core dx] - [[$inst getMaster] getWidth] : 0 }]
  set y [expr { $i / 2 ? [$core dy] - [[$inst getMaster] getHeight] : 0 }]
  set x [expr { [$core xMin] + $x / [$site getWidth] * [$site getWidth] }]
  set y [expr { [$core yMin] + $y / [$site getHeight] * [$site getHeight] }]
  $inst setOrient R0
  $inst setLocation $x $y
  $inst setPlacementStatus FIRM
  incr i
}
