# The routing layers: which signals and clocks may use, and their adjustments.

namespace eval ::gsr {
# Names of the routing layers and their adjustments: { names { name adjustment ... } }, lowest
# first.
proc routing_layers { } {
  set names {}
  set adjustments [dict create]
  if { ![has_command ord::get_db_tech] } { return [list $names $adjustments] }
  set tech [::ord::get_db_tech]
  for { set level 1 } { $level <= [$tech getRoutingLayerCount] } { incr level } {
    set layer [$tech findRoutingLayer $level]
    if { $layer eq "NULL" } { continue }
    set name [$layer getName]
    lappend names $name
    if { ![catch { $layer getLayerAdjustment } value] && [is_number $value _] } {
      dict set adjustments $name $value
    }
  }
  return [list $names $adjustments]
}

# Lowest and highest signal layer: what the database holds, else what the flow says, else nothing.
proc signal_layers { block names } {
  set low 0
  set high 0
  catch {
    set low [$block getMinRoutingLayer]
    set high [$block getMaxRoutingLayer]
  }
  if { [is_count $low low] && [is_count $high high] && $low >= 1 && $high >= $low } {
    if { $high <= [llength $names] } {
      return [list [lindex $names [expr { $low - 1 }]] [lindex $names [expr { $high - 1 }]]]
    }
  }
  set low [setting MIN_ROUTING_LAYER]
  set high [setting MAX_ROUTING_LAYER]
  if { $low in $names && $high in $names } { return [list $low $high] }
  return {}
}

# Names of the signal layers, lowest first; all routing layers where it is not known which they are.
proc signal_names { block } {
  lassign [routing_layers] names
  return [layers_between $names [signal_layers $block $names]]
}

proc layers_between { names signal } {
  if { [llength $signal] != 2 } { return $names }
  lassign $signal low high
  return [lrange $names [lsearch -exact $names $low] [lsearch -exact $names $high]]
}

# Where clocks may use higher layers than signals, global_route counts the tracks of these for every
# net until it lays them; what knows the signals' layers alone cannot follow.
proc warn_of_clock_layers { block names signal } {
  if { [llength $signal] != 2 } { return }
  if { [catch { $block getMaxLayerForClock } high] || ![is_count $high high] } { return }
  set name [lindex $names [expr { $high - 1 }]]
  lassign $signal _ top
  if { $high - 1 <= [lsearch -exact $names $top] || $name eq "" } { return }
  warn_once 7044 "clocks may use layers up to $name, signals up to $top: global_route counts these\
    tracks for every net, so that a prediction is too high; set both alike."
}

# The adjustment of each layer. Before the flow has set them (older versions of ORFS do so only
# before routing), those that the settings name are taken, else the flow's one number for its signal
# layers.
proc layer_adjustments { names adjustments signal } {
  foreach value [dict values $adjustments] {
    if { $value != 0 } { return $adjustments }
  }
  foreach word [setting_words GSR_LAYER_ADJUSTMENTS] {
    lassign [split $word =] name text
    if { $name ni $names || ![is_number $text value] || $value < 0 || $value > 1 } {
      raise_failure "GSR_LAYER_ADJUSTMENTS: \"$word\" is not LAYER=SHARE."
    }
    dict set adjustments $name $value
  }
  if { [setting GSR_LAYER_ADJUSTMENTS] ne "" } { return $adjustments }
  if { ![is_number [setting ROUTING_LAYER_ADJUSTMENT] value] || [setting FASTROUTE_TCL] ne "" } {
    return $adjustments
  }
  if { [llength $signal] != 2 } { return $adjustments }
  foreach name [layers_between $names $signal] {
    dict set adjustments $name $value
  }
  return $adjustments
}
}
