# What the claims share: the kit design, maps and placements as plain lists, and processes.

namespace eval ::claims {
variable kit [file join [file dirname [file normalize [info script]]] kit]
variable here [file dirname [file normalize [info script]]]
variable number 0

# --- outcomes -------------------------------------------------------------------------------

proc expect { condition text } {
  if { ![uplevel 1 [list expr $condition]] } { error $text }
}

proc absent { text } {
  return -code error -errorcode { CLAIM ABSENT } $text
}

proc needs_command { name } {
  if { [info commands ::$name] eq "" } { absent "there is no command $name" }
}

# What a command says when it fails; a command that does not is no proof.
proc error_of { args } {
  if { ![catch { uplevel 1 $args } message] } { error "no error of: [join $args]" }
  return $message
}

# Whether a unique beginning of a command is taken for it.
proc resolves { name } {
  if { ![catch { uplevel #0 [list $name] } message] } { return yes }
  return [expr { [regexp {invalid command name|[Aa]mbiguous} $message] ? "no" : "yes" }]
}

# --- the design -----------------------------------------------------------------------------

proc read_kit { } {
  variable kit
  ::read_lef [file join $kit gsr45_tech.lef]
  ::read_lef [file join $kit gsr45_cells.lef]
}

# The design as an earlier claim left it: floorplan, placed or routed.
proc use_design { name } {
  if { ![file isfile $name.odb] } { error "$name.odb is not there: the claim that makes it failed" }
  ::read_db $name.odb
}

proc block { } { return [::ord::get_db_block] }

proc set_layers { { adjustment 0.2 } } {
  ::set_routing_layers -signal M2-M5 -clock M2-M5
  ::set_global_routing_layer_adjustment M2-M5 $adjustment
}

# Places as ORFS does it.
proc place { args } {
  set density [expr { min(1.0, [::gpl::get_global_placement_uniform_density] + 0.05) }]
  ::global_placement -density $density {*}$args
}

proc text_of { path } {
  set channel [open $path rb]
  try {
    return [read $channel]
  } finally {
    close $channel
  }
}

proc write_text { path text } {
  set channel [open $path w]
  fconfigure $channel -encoding utf-8
  puts $channel $text
  close $channel
}

# The design as DEF.
proc def_text { } {
  ::write_def [pid].def
  set text [text_of [pid].def]
  file delete [pid].def
  return $text
}

proc sorted_lines { text } { return [lsort [split $text \n]] }

# Where every inst is: name to x, y, orientation.
proc places { } {
  set found [dict create]
  foreach inst [[block] getInsts] {
    dict set found [$inst getName] [list {*}[$inst getLocation] [$inst getOrient]]
  }
  return $found
}

proc num_signal_nets { } {
  set is_signal {}
  foreach net [[block] getNets] {
    if { [$net getSigType] ni { POWER GROUND } } { lappend is_signal $net }
  }
  return [llength $is_signal]
}

# Half-perimeter wire length of all signal nets in um.
proc hpwl_um { } {
  set sum 0
  foreach net [[block] getNets] {
    if { [$net getSigType] in { POWER GROUND } } { continue }
    set box [$net getTermBBox]
    set sum [expr { $sum + [$box xMax] - [$box xMin] + [$box yMax] - [$box yMin] }]
  }
  return [expr { $sum / double([[block] getDbUnitsPerMicron]) }]
}

# The share of a box (dbu) that insts cover, fixed ones aside.
proc covered { x1 y1 x2 y2 } {
  set area 0.0
  foreach inst [[block] getInsts] {
    if { [$inst isFixed] } { continue }
    set box [$inst getBBox]
    set width [expr { min($x2, [$box xMax]) - max($x1, [$box xMin]) }]
    set height [expr { min($y2, [$box yMax]) - max($y1, [$box yMin]) }]
    if { $width > 0 && $height > 0 } { set area [expr { $area + double($width) * $height }] }
  }
  return [expr { $area / (double($x2 - $x1) * ($y2 - $y1)) }]
}

# A box of a third of the die in its middle, on whole gcells: dbu and um.
proc middle { } {
  set die [[block] getDieArea]
  set third [expr { [$die xMax] / 3 / 6000 * 6000 }]
  return [list $third $third [expr { 2 * $third }] [expr { 2 * $third }]]
}

proc um { box } {
  set dbu [[block] getDbUnitsPerMicron]
  return [lmap value $box { expr { $value / double($dbu) } }]
}

# --- the router -----------------------------------------------------------------------------

proc route { args } {
  ::global_route -allow_congestion -congestion_iterations 10 {*}$args
}

proc layers { } {
  set tech [::ord::get_db_tech]
  return [lmap level { 2 3 4 5 } { $tech findRoutingLayer $level }]
}

# layer,ix,iy to { capacity usage } of every edge of the signal layers; without the last column of
# a horizontal layer and the last row of a vertical one, which are copies.
proc gcells { } {
  set grid [[block] getGCellGrid]
  if { $grid eq "NULL" } { error "there is no gcell grid" }
  set nx [llength [$grid getGridX]]
  set ny [llength [$grid getGridY]]
  set found [dict create]
  foreach layer [layers] {
    set is_horizontal [expr { [$layer getDirection] eq "HORIZONTAL" }]
    for { set ix 0 } { $ix < $nx - $is_horizontal } { incr ix } {
      for { set iy 0 } { $iy < $ny - !$is_horizontal } { incr iy } {
        dict set found [$layer getName],$ix,$iy \
          [list [$grid getCapacity $layer $ix $iy] [$grid getUsage $layer $ix $iy]]
      }
    }
  }
  return $found
}

proc overflow { gcells } {
  set sum 0.0
  dict for { _ pair } $gcells {
    lassign $pair capacity usage
    set sum [expr { $sum + max(0.0, $usage - $capacity) }]
  }
  return $sum
}

# Tracks that adjustments take from an edge, as docs/how-it-works.md has it.
proc reduction { capacity adjustment } {
  if { $capacity <= 0 } { return 0 }
  # as the router does it, in single precision
  binary scan [binary format f $adjustment] f a
  binary scan [binary format f [expr { 1 - $a }]] f left
  binary scan [binary format f [expr { $capacity * $left }]] f kept
  return [expr { $capacity - max(int($kept), 1) }]
}

# --- processes ------------------------------------------------------------------------------

# Runs a script in a new openroad, among the procedures of this file: exit code and output. Further
# words are options of openroad.
proc in_new_process { script args } {
  variable here
  variable number
  set file [pid]_[incr number].tcl
  set parts [lmap part { kit gsr window } { list source [file join $here $part.tcl] }]
  write_text $file "[join $parts \n]\nnamespace eval ::claims {\n$script\n}"
  set flags { -exit -no_init -no_splash -no_settings }
  return [run_program [list $::env(GSR_OPENROAD) {*}$flags {*}$args $file]]
}

proc run_program { command } {
  set code 0
  if { [catch { exec {*}$command < /dev/null 2>@1 } output details] } {
    lassign [dict get $details -errorcode] kind _ status
    switch -- $kind {
      CHILDSTATUS { set code $status }
      CHILDKILLED { set code $status }
      NONE { set code 0 }
      default { error $output }
    }
  }
  return [list $code $output]
}

# A script for a new process with words of ours in place of @name@.
proc filled { script args } {
  set pairs {}
  foreach { name value } $args { lappend pairs @$name@ $value }
  return [string map $pairs $script]
}

# What a script answers in a new process, if anything. By a file, since OpenROAD's own messages may
# cut a line. Further words are options of openroad.
proc told { script args } {
  set file [pid].answer
  file delete $file
  set ::env(GSR_CLAIM_ANSWER) $file
  lassign [in_new_process $script {*}$args] code output
  if { $code != 0 } { error "exit code $code: [complaint $output]" }
  if { ![file isfile $file] } { return "" }
  return [string trim [text_of $file]]
}

proc answer { value } { write_text $::env(GSR_CLAIM_ANSWER) $value }

# What an output says of an error: its [ERROR ..] lines, else what comes before Tcl's own account,
# else its end.
proc complaint { output } {
  set lines [regexp -all -inline -line {^\[ERROR .*$} $output]
  if { [llength $lines] > 0 } { return [join $lines { | }] }
  set at [string first "\n    while executing" $output]
  if { $at >= 0 } { set output [string range $output 0 $at] }
  return [string range [string trim $output] end-200 end]
}

# What a script of our Python prints.
proc python { script args } {
  set command [list $::env(GSR_CLAIM_PYTHON) -c "import sys\n$script" {*}$args]
  lassign [run_program $command] code output
  if { $code != 0 } { error "Python ends with exit code $code: [complaint $output]" }
  return [string trim $output]
}
}
