# The predicted map in OpenROAD's window, as its heat map "Routing Congestion". OpenROAD takes no
# maps from outside; this one is drawn from the gcell grid of the database, so the grid is filled
# with the prediction: in a session that is thrown away, since later tools would take it for the
# router's.

namespace eval ::gsr {
proc do_show_heatmap { options } {
  set direction [string tolower [option $options direction all]]
  if { $direction ni { all horizontal vertical } } {
    raise_stop 7060 "gsr_show_heatmap: -direction is all, horizontal or vertical."
  }
  if { ![has_command gui::enabled] || ![::gui::enabled] } {
    raise_failure "there is no window: run it in openroad -gui, with the design loaded."
  }
  return [show_heatmap [require_block] [prediction_dir_of $options] $direction]
}

proc show_heatmap { block folder direction } {
  set maps [dict create \
    HORIZONTAL [read_heatmap [file join $folder congestion_h.csv]] \
    VERTICAL [read_heatmap [file join $folder congestion_v.csv]]]
  # everything is checked before the design is touched
  lassign [heatmap_grid $block $maps] xs ys
  set layers [heatmap_layers $block]
  forbid_saving
  set grid [$block getGCellGrid]
  if { $grid in { NULL "" } } { set grid [::odb::dbGCellGrid_create $block] }
  $grid resetGrid
  $grid addGridPatternX {*}$xs
  $grid addGridPatternY {*}$ys
  set count 0
  dict for { way rows } $maps {
    set layer [dict get $layers $way]
    foreach row $rows {
      lassign $row x y _ _ value
      set ix [expr { ($x - [lindex $xs 0]) / [lindex $xs 2] }]
      set iy [expr { ($y - [lindex $ys 0]) / [lindex $ys 2] }]
      $grid setCapacity $layer $ix $iy 1.0
      $grid setUsage $layer $ix $iy $value
      incr count
    }
  }
  ::gui::set_heatmap Routing Direction [string totitle $direction]
  ::gui::set_heatmap Routing Layer All
  ::gui::set_heatmap Routing Type Congestion
  # the window's colours end at full, and what is above would look alike
  ::gui::set_heatmap Routing DisplayMax [highest_percent $maps $direction]
  ::gui::set_heatmap Routing ShowLegend 1
  ::gui::set_heatmap Routing rebuild
  ::gui::set_display_controls "Heat Maps/Routing Congestion" visible true
  say 7018 "The heat map Routing Congestion shows the prediction in $folder (100 % is full)."
  return [dict create status ok out_dir $folder gcells $count]
}

# The rows of a heat map as { x1 y1 x2 y2 value }, in database units.
proc read_heatmap { path } {
  set dbu [[block] getDbUnitsPerMicron]
  set lines [read_lines $path]
  if { ![string match "x0,y0,x1,y1,value*" [lindex $lines 0]] } {
    raise_failure "$path:1: expected the columns x0,y0,x1,y1,value."
  }
  set rows {}
  set number 1
  foreach line [lrange $lines 1 end] {
    incr number
    set fields [split $line ,]
    set row {}
    foreach field $fields {
      if { [is_number $field value] } { lappend row $value }
    }
    if { [llength $fields] != 5 || [llength $row] != 5 } {
      raise_failure "$path:$number: expected five numbers."
    }
    lappend rows [list {*}[lmap um [lrange $row 0 3] { expr { round($um * $dbu) } }] $value]
  }
  if { [llength $rows] == 0 } { raise_failure "$path holds no values." }
  return $rows
}

proc highest_percent { maps direction } {
  if { $direction ne "all" } { set maps [dict filter $maps key [string toupper $direction]] }
  set highest 1.0
  foreach row [concat {*}[dict values $maps]] {
    set highest [expr { max($highest, [lindex $row 4]) }]
  }
  # a value that is full to rounding is not above it
  return [expr { int(ceil(100 * $highest - 1e-6)) }]
}

# Origin, number of lines and step in x and in y: gcells are squares, the last of them takes the
# remainder of the die.
proc heatmap_grid { block maps } {
  lassign [die_dbu $block] x1 y1 x2 y2
  set patterns {}
  set rows [concat {*}[dict values $maps]]
  foreach at { 0 1 } low [list $x1 $y1] high [list $x2 $y2] {
    set lines [lsort -integer -unique [lmap row $rows { lindex $row $at }]]
    set ends [lsort -integer -unique [lmap row $rows { lindex $row [expr { $at + 2 }] }]]
    set last [lindex $lines end]
    set step [expr { $high - $low }]
    foreach line [lrange $lines 0 end-1] next [lrange $lines 1 end] {
      set step [expr { min($step, $next - $line) }]
    }
    set fits [expr { [lindex $lines 0] == $low && [lindex $ends end] == $high }]
    foreach line $lines {
      if { ($line - $low) % $step != 0 } { set fits 0 }
    }
    if { !$fits } {
      raise_failure "the maps are not of this design's die: predict for the design that is loaded."
    }
    lappend patterns [list $low [expr { ($last - $low) / $step + 1 }] $step]
  }
  return $patterns
}

# The lowest signal layer of each direction stands for all of it.
proc heatmap_layers { block } {
  set tech [::ord::get_db_tech]
  set found [dict create]
  foreach name [lreverse [signal_names $block]] {
    set layer [$tech findLayer $name]
    dict set found [$layer getDirection] $layer
  }
  foreach way { HORIZONTAL VERTICAL } {
    if { ![dict exists $found $way] } { raise_failure "no signal layer is [string tolower $way]." }
  }
  return $found
}

proc forbid_saving { } {
  foreach command { write_db write_def } {
    if { ![has_command $command] } { continue }
    proc ::$command { args } {
      ::gsr::stop_flow 7062 "this session shows a prediction in the gcell grid: load the design in\
        a new one to save it."
    }
  }
}
}
