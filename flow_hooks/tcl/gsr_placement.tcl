# What steers the placer is scoped to one call of global_placement: a wrapper of the command makes
# the blockages, sets the adjustments, calls the placer and takes everything away again, also
# after an error.

namespace eval ::gsr {
proc original_placement { } {
  if { [has_command gsr::unwrapped_global_placement] } { return gsr::unwrapped_global_placement }
  return global_placement
}

# The wrapper stays once it is there, and passes every call through unless something is armed.
proc wrap_placement { } {
  if { [has_command gsr::unwrapped_global_placement] } { return }
  rename ::global_placement ::gsr::unwrapped_global_placement
  proc ::global_placement { args } {
    if { $::gsr::loop ne "" } { return [::gsr::place_in_rounds $args] }
    if { $::gsr::is_armed } { return [::gsr::place_with_plan $args] }
    tailcall ::gsr::unwrapped_global_placement {*}$args
  }
}

proc arm { } {
  variable is_armed
  wrap_placement
  set_plan_environment
  set is_armed 1
}

# ORFS reads these when it puts the arguments of global_placement together.
proc set_plan_environment { } {
  variable saved_env
  foreach row [rows_of placement_density_addon] {
    set_env PLACE_DENSITY_LB_ADDON [dict get $row number]
  }
  if { [dict exists $saved_env GLOBAL_PLACEMENT_ARGS] } { return }
  foreach row [rows_of routability_gentle] {
    set_env GLOBAL_PLACEMENT_ARGS \
      [string trim "[setting GLOBAL_PLACEMENT_ARGS] [gentle_options $row]"]
  }
}

proc gentle_options { row } {
  lassign [dict get $row pair] coefficient ratio
  return [list -routability_driven -routability_inflation_ratio_coef $coefficient \
    -routability_max_inflation_ratio $ratio]
}

proc set_env { name value } {
  variable saved_env
  if { ![dict exists $saved_env $name] } {
    if { [info exists ::env($name)] } {
      dict set saved_env $name [list 1 $::env($name)]
    } else {
      dict set saved_env $name [list 0 ""]
    }
  }
  set ::env($name) $value
}

# The rows of an action that wait for global_placement.
proc rows_of { action } {
  variable record
  variable pending_reason
  set found {}
  foreach row [dict get $record rows] {
    if { [dict get $row action] eq $action && [dict get $row reason] eq $pending_reason } {
      lappend found $row
    }
  }
  return $found
}

proc place_with_plan { arguments } {
  variable is_armed
  set is_armed 0
  set before {}
  if { [llength [concat [rows_of place_pins] [rows_of unplace]]] > 0 } {
    set before [save_places]
    make_moves
  }
  return [place_guarded $arguments $before]
}

# Our plan must not cost the user the step: when the placer fails with it, it runs again without
# it, from the places `before`.
proc place_guarded { arguments before } {
  set has_addon [llength [rows_of placement_density_addon]]
  set plain [without_words $arguments [concat {*}[lmap row [rows_of routability_gentle] {
    gentle_options $row
  }]]]
  if { ![catch { place_under_plan $arguments } result details] } {
    settle_pending applied
    return $result
  }
  settle_pending skipped "global_placement failed with the plan: $result"
  if { $before ne "" } { restore_places $before }
  if { [stops_on_error] } { return -options $details $result }
  alert 7035 "global_placement failed with the plan ($result); it is run again without it."
  if { [has_command gpl::replace_reset_cmd] } { catch { ::gpl::replace_reset_cmd } }
  if { $has_addon } { lappend plain {*}[flow_density $plain] }
  return [::gsr::unwrapped_global_placement {*}$plain]
}

proc place_under_plan { arguments } {
  set_plan_environment
  try {
    return [place_planned $arguments]
  } finally {
    undo_placement
  }
}

proc place_planned { arguments } {
  set pads [pad_options $arguments]
  set boxes [rows_of density_blockage]
  set counts_density [llength [concat $boxes [rows_of uniform_density] \
    [rows_of placement_density_addon]]]
  set before ""
  if { $counts_density } { set before [uniform_density $pads] }
  set others {}
  if { [llength $boxes] > 0 } { set others [[block] getBlockages] }
  foreach row $boxes { make_blockage $row $others }
  foreach row [rows_of layer_adjustment] { apply_layer_adjustment $row }
  if { $counts_density } {
    # only now: blockages count as used area in the uniform density
    set density [planned_density $arguments $before [uniform_density $pads]]
    if { $density ne "" } { lappend arguments -density $density }
  }
  foreach row [rows_of routability_gentle] {
    if { "-routability_inflation_ratio_coef" ni $arguments } {
      lappend arguments {*}[gentle_options $row]
    }
  }
  if { [llength [rows_of unplace]] > 0 && "-incremental" ni $arguments } {
    lappend arguments -incremental
  }
  say 7003 "global_placement [join $arguments] (with [llength $boxes] density blockages)"
  return [::gsr::unwrapped_global_placement {*}$arguments]
}

# A partial blockage that the detailed placer leaves alone: the command drops -soft when a density
# is given.
proc make_blockage { row others } {
  variable blockages
  set block [block]
  set dbu [$block getDbUnitsPerMicron]
  set region [lmap value [dict get $row box] { expr { $value / double($dbu) } }]
  if { [catch { ::create_blockage -region $region -max_density [dict get $row number] } made] } {
    settle_line $row skipped $made
    return
  }
  if { $made in { "" NULL } } {
    # older versions return nothing
    set made [lindex [lmap found [$block getBlockages] {
      if { $found in $others || $found in $blockages } { continue }
      set found
    }] 0]
    if { $made eq "" } {
      settle_line $row skipped "create_blockage made none"
      return
    }
  }
  lappend blockages $made
  $made setSoft
}

# The density to place with, now that the blockages are there, or "" to leave it as it is.
proc planned_density { arguments before after } {
  if { $after eq "" } { return "" }
  set given [last_value $arguments -density]
  set uniform [rows_of uniform_density]
  if { [llength $uniform] > 0 } {
    set density [expr { $after + [dict get [lindex $uniform end] number] }]
  } elseif { [is_number [setting PLACE_DENSITY_LB_ADDON] addon] } {
    set density [orfs_density $after $addon]
  } elseif { [is_number $given density] && $before ne "" } {
    # the same margin above the lowest possible density as without blockages
    set density [expr { $after + max(0.0, $density - $before) }]
  } else {
    # the placer's own default
    set density 0.7
    if { $after <= $density } { return "" }
  }
  return [format %.4f [expr { max($after, min(0.99, $density)) }]]
}

# As place_density_with_lb_addon of ORFS computes it.
proc orfs_density { uniform addon } {
  return [expr { $uniform + (1.0 - $uniform) * $addon + 0.01 }]
}

# The density that the flow would have used without the plan, as an option.
proc flow_density { arguments } {
  if { [is_number [setting PLACE_DENSITY_LB_ADDON] addon] } {
    set uniform [uniform_density [pad_options $arguments]]
    if { $uniform ne "" } { return [list -density [orfs_density $uniform $addon]] }
  } elseif { [is_number [setting PLACE_DENSITY] density] } {
    return [list -density $density]
  }
  return {}
}

proc uniform_density { pads } {
  if { [catch { ::gpl::get_global_placement_uniform_density {*}$pads } density] } { return "" }
  if { ![is_number $density value] } { return "" }
  return $value
}

proc pad_options { arguments } {
  set options {}
  foreach name { -pad_left -pad_right } {
    set value [last_value $arguments $name]
    if { $value ne "" } { lappend options $name $value }
  }
  return $options
}

proc last_value { arguments name } {
  set at [lindex [lsearch -all -exact $arguments $name] end]
  if { $at eq "" } { return "" }
  return [lindex $arguments [expr { $at + 1 }]]
}

# `arguments` without the run of words that was added to them.
proc without_words { arguments words } {
  set count [llength $words]
  if { $count == 0 } { return $arguments }
  for { set at 0 } { $at + $count <= [llength $arguments] } { incr at } {
    set last [expr { $at + $count - 1 }]
    if { [lrange $arguments $at $last] eq $words } { return [lreplace $arguments $at $last] }
  }
  return $arguments
}
}
