# What the claims about OpenROAD's window share.

namespace eval ::claims {
proc needs_gui { } {
  needs_command gui::dump_heatmap
  if { [info commands ::ord::openroad_gui_compiled] eq "" } { return }
  if { ![::ord::openroad_gui_compiled] } { absent "it is built without GUI" }
}

# A window on a screen that nobody sees.
proc needs_window { } {
  needs_gui
  set ::env(QT_QPA_PLATFORM) offscreen
  lassign [in_new_process {} -gui] code output
  if { $code != 0 } { absent "no window opens offscreen: [complaint $output]" }
}

# The bytes of a picture of the die, for comparison, as hexadecimal digits.
proc picture { name } {
  set die [[block] getDieArea]
  set um [um [list [$die xMin] [$die yMin] [$die xMax] [$die yMax]]]
  set controls [::gui::DisplayControlMap]
  ::gui::save_image $name.png {*}$um 200 0 $controls
  return [binary encode hex [text_of $name.png]]
}

# A row x0 y0 x1 y1 value for each gcell of the heat map.
proc dumped_heatmap { { direction "" } } {
  if { $direction ne "" } {
    ::gui::set_heatmap Routing Direction $direction
    ::gui::set_heatmap Routing rebuild
  }
  ::gui::dump_heatmap Routing heat.csv
  return [lmap line [lrange [split [string trim [text_of heat.csv]] \n] 1 end] { split $line , }]
}

# ix, iy and the corners in um of each gcell, column by column, from the lower edges in dbu.
proc gcell_boxes { xs ys } {
  set die [[block] getDieArea]
  set xs [um [concat $xs [$die xMax]]]
  set ys [um [concat $ys [$die yMax]]]
  set found {}
  set ix -1
  foreach x0 [lrange $xs 0 end-1] x1 [lrange $xs 1 end] {
    incr ix
    set iy -1
    foreach y0 [lrange $ys 0 end-1] y1 [lrange $ys 1 end] {
      lappend found [list $ix [incr iy] [list $x0 $y0 $x1 $y1]]
    }
  }
  return $found
}

# Capacity and usage of a gcell on all layers of a direction.
proc gcell_sums { grid way ix iy } {
  set capacity 0.0
  set usage 0.0
  foreach layer [[::ord::get_db_tech] getLayers] {
    if { [$layer getRoutingLevel] == 0 || [$layer getDirection] ne $way } { continue }
    set capacity [expr { $capacity + [$grid getCapacity $layer $ix $iy] }]
    set usage [expr { $usage + [$grid getUsage $layer $ix $iy] }]
  }
  return [list $capacity $usage]
}

# A map in the columns of a prediction; the procedure gives the value of a gcell.
proc write_map { path boxes procedure } {
  set lines [list "x0,y0,x1,y1,value (congestion)"]
  foreach box $boxes {
    lassign $box ix iy corners
    lappend lines [join [list {*}$corners [$procedure $ix $iy]] ,]
  }
  file mkdir [file dirname $path]
  write_text $path [join $lines \n]
}
}
