# Stand-ins for the closed loop: a placer that gives the better of two placements when steered, a
# judge whose router finds more overflow in the worse one. LOOP_* in the environment name the files.

source [file join [file dirname [file normalize [info script]]] openroad_label.tcl]

namespace eval ::stub {
variable read ""
set design crc_bank
set dbu 2000
set die $::env(LOOP_DIE)
set routing_range { 2 5 }
set grid [list x {} y {}]
set layers {}
set adjustments {}
for { set i 1 } { $i <= 8 } { incr i } {
  lappend layers M$i [expr { $i % 2 ? "HORIZONTAL" : "VERTICAL" }]
  lappend adjustments M$i 0.0
  interp alias {} ::layer_M$i {} ::stub::layer M$i
}
set pins {}
add_pin p PLACED { M3 0 0 200 100 }
add_pin q PLACED { M4 500 0 600 200 }

proc bytes_of { path } {
  set channel [open $path rb]
  set bytes [read $channel]
  close $channel
  return $bytes
}

proc load_table { } {
  variable usage
  variable grid
  foreach line [lrange [split [string trim [bytes_of $::env(LOOP_GRID)]] \n] 1 end] {
    lassign [split $line ,] axis index coordinate
    dict lappend grid $axis $coordinate
  }
  set factor [expr { [bytes_of $::stub::read] eq [bytes_of $::env(LOOP_GOOD)] ? 0.8 : 1.0 }]
  foreach line [lrange [split [string trim [bytes_of $::env(LOOP_USAGE)]] \n] 1 end] {
    lassign [split $line ,] layer direction ix iy capacity used
    set usage($layer,$ix,$iy) [list $capacity [expr { round($factor * $used) }]]
  }
}

proc gcell_grid { method args } {
  variable grid
  variable usage
  if { [array size usage] == 0 } { load_table }
  switch -- $method {
    getGridX { return [dict get $grid x] }
    getGridY { return [dict get $grid y] }
  }
  lassign $args layer ix iy
  return [lindex $usage([$layer getName],$ix,$iy) [expr { $method eq "getUsage" }]]
}

proc is_steered { } {
  variable calls
  set last [lindex [lsearch -all -inline -index 0 $calls blockages_in_force] end]
  set options [lindex [lsearch -all -inline -index 0 $calls global_placement] end]
  return [expr { [lindex $last 1] > 0 || "-routability_max_inflation_ratio" in $options }]
}
}

# A placer that has no room for blockages, where the test asks for that.
rename ::global_placement ::stub::placement_anywhere
proc ::global_placement { args } {
  if { [info exists ::env(LOOP_FAILS_STEERED)] && [llength $::stub::blockages] > 0 } {
    puts "\[ERROR GPL-0301\] Utilization 104.2 % exceeds 100%."
    error GPL-0301
  }
  return [stub::placement_anywhere {*}$args]
}

rename ::read_def ::stub::read_def
proc ::read_def { path } {
  set ::stub::read $path
  stub::read_def $path
  lappend stub::state pins
}

proc ::write_def { path } {
  set source $::stub::read
  if { [string match *gsr_loop_place.tcl $::env(LOOP_SCRIPT)] } {
    set source [expr { [stub::is_steered] ? $::env(LOOP_GOOD) : $::env(LOOP_BAD) }]
    if { [info exists ::env(LOOP_WRITES)] } { set source $::env(LOOP_WRITES) }
  }
  file copy -force $source $path
}

rename ::report_wire_length ::stub::report_wire_length
proc ::report_wire_length { args } {
  array set values [lrange $args end-1 end]
  write_text $values(-file) "grt: _0000_ 27 4\ngrt: _0001_ 13.5 2"
}

# One step a line, so that a test can count what was run.
proc ::stub::tell { name } {
  if { [info exists ::env(LOOP_TOLD)] } {
    set channel [open $::env(LOOP_TOLD) a]
    puts $channel $name
    close $channel
  }
}
::stub::tell [file tail $::env(LOOP_SCRIPT)]
