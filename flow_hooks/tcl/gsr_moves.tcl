# The actions of a plan that need the finished placement in the database: ports placed anew for it
# (place_pins), and insts taken out of it to be placed again among the others (unplace).

namespace eval ::gsr {
# True when the loaded placement is the one that the plan was made for: the insts are written as
# they are in the DEF of the export, which lies beside the plan.
proc is_planned_placement { } {
  variable record
  if { [dict exists $record is_same] } { return [dict get $record is_same] }
  set planned [option $record placement]
  if { $planned eq "" } {
    set planned [file join [file dirname [dict get $record file]] design.def]
  }
  set same 0
  if { [file isfile $planned] } {
    file mkdir [dict get $record out_dir]
    set present [file join [dict get $record out_dir] present.[pid].tmp.def]
    try {
      ::write_def $present
      set same [expr { [def_components $present] eq [def_components $planned] }]
    } finally {
      catch { file delete $present }
    }
  }
  dict set record is_same $same
  return $same
}

# The components of a DEF as they stand there.
proc def_components { path } {
  set channel [open $path rb]
  try {
    set text [read $channel]
  } finally {
    close $channel
  }
  set start [string first "\nCOMPONENTS " $text]
  return [string range $text $start [string first "\nEND COMPONENTS" $text]]
}

proc require_planned_placement { } {
  if { [is_planned_placement] } { return }
  raise_failure "what is loaded is not the placement of the plan (design.def beside it, or -def)"
}

# --- place_pins -------------------------------------------------------------------------

# The layers of the value, `horizontal,..;vertical,..`; else those of the flow, else those that the
# ports lie on, and for a direction that none lies on the routing layer next to them.
proc check_place_pins { row context } {
  foreach name { FLOORPLAN_DEF FOOTPRINT FOOTPRINT_TCL } {
    if { [setting $name] ne "" } { raise_failure "the flow takes the pins from $name" }
  }
  set ports [pin_shapes]
  if { [dict size $ports] == 0 } { raise_failure "no pin may be moved" }
  set layers [pin_layers $row $ports]
  foreach names $layers direction { horizontal vertical } {
    if { [llength $names] == 0 } { raise_failure "no $direction layer for pins is known" }
    foreach name $names {
      if { $name ni [dict get $context layers] } { raise_failure "no routing layer \"$name\"" }
      if { [string tolower [layer_direction $name]] ne $direction } {
        raise_failure "layer \"$name\" is not $direction"
      }
    }
  }
  require_planned_placement
  dict set row pin_layers $layers
  return $row
}

proc pin_layers { row ports } {
  if { [dict get $row value] ne "" } {
    return [lmap text [row_pair $row] {
      lmap name [regexp -all -inline {[^,]+} $text] {
        if { [catch { percent_decode $name } name] } { raise_failure $name }
        set name
      }
    }]
  }
  set horizontal [setting_words IO_PLACER_H]
  set vertical [setting_words IO_PLACER_V]
  if { [llength $horizontal] > 0 && [llength $vertical] > 0 } {
    return [list $horizontal $vertical]
  }
  set found [dict create HORIZONTAL {} VERTICAL {}]
  foreach pin [concat {*}[dict values $ports]] {
    foreach shape [lindex $pin 1] {
      set name [lindex $shape 0]
      dict set found [layer_direction $name] $name 1
    }
  }
  set pair [list [dict keys [dict get $found HORIZONTAL]] [dict keys [dict get $found VERTICAL]]]
  lassign $pair horizontal vertical
  if { [llength $horizontal] == 0 } { lset pair 0 [layer_beside [lindex $vertical 0] HORIZONTAL] }
  if { [llength $vertical] == 0 } { lset pair 1 [layer_beside [lindex $horizontal 0] VERTICAL] }
  return $pair
}

# The signal layer just above, else the one just below, if it runs in the direction.
proc layer_beside { name direction } {
  lassign [routing_layers] names
  set at [lsearch -exact $names $name]
  set signal [signal_layers [block] $names]
  set highest [expr { [llength $signal] == 2 ? [lsearch -exact $names [lindex $signal 1]] : $at }]
  foreach next [list [expr { $at + 1 }] [expr { $at - 1 }]] {
    if { $next < 0 || $next > max($highest, $at - 1) } { continue }
    if { [layer_direction [lindex $names $next]] eq $direction } { return [lindex $names $next] }
  }
  return {}
}

proc layer_direction { name } {
  set layer [[::ord::get_db_tech] findLayer $name]
  if { $layer in { NULL "" } } { return "" }
  return [$layer getDirection]
}

# Places the ports for the insts as they are now; they are where they were when that fails.
proc place_pins_again { row before } {
  lassign [dict get $row pin_layers] horizontal vertical
  set words [list -hor_layers $horizontal -ver_layers $vertical]
  # the flow's own options, as ORFS gives them
  if { ![catch { llength [setting PLACE_PINS_ARGS] }] } {
    lappend words {*}[setting PLACE_PINS_ARGS]
  }
  say 7006 "place_pins [join $words] (for the placement that was predicted)"
  if { ![catch { ::place_pins {*}$words } message] } { return }
  restore_pins $before
  settle_line $row skipped $message
}

# --- unplace ----------------------------------------------------------------------------

proc check_unplace { row context } {
  set row [row_inst $row $context]
  set inst [dict get $row inst]
  if { ![$inst isPlaced] } { raise_failure "the inst is not placed" }
  if { [$inst isBlock] } { raise_failure "the inst is a macro" }
  require_planned_placement
  return $row
}

# Ports first, for the insts as they are.
proc make_moves { } {
  set before [pin_shapes]
  foreach row [rows_of place_pins] { place_pins_again $row $before }
  foreach row [rows_of unplace] {
    [dict get $row inst] setPlacementStatus NONE
  }
}
}
