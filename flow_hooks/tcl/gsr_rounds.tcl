# Placement in rounds, in one flow run: the next global_placement places without a plan, predicts,
# plans, places again from the same start with the plan, and keeps the better by prediction.
#
# A timing-driven placement changes the netlist (OpenROAD keeps what its resizer does), so a second
# one would start from another design. There, the rounds are run without timing, to find plan and
# pins; the flow's own command then runs last, once, from the start, with what was found.

namespace eval ::gsr {
# Options of gsr_loop_placement, until the next global_placement.
variable loop ""
# The rounds at work, the first without a plan: folder, plan, overflow, seconds, fault. And the best
# of them: its number, the places of insts and pins, the record of its plan.
variable rounds {}
variable best {}
variable timing_flags { -timing_driven -timing_driven_repair_timing -virtual_cts }

proc do_loop_placement { options } {
  return [arm_loop [chosen_out_dir $options] $options]
}

proc arm_loop { out_dir options } {
  variable loop
  require_block
  clear_feedback
  if { [mode] ne "apply" } {
    say 7013 "GSR_MODE is [mode], not apply: global_placement runs once, without a plan."
    return [dict create status skipped reason "GSR_MODE is [mode], not apply"]
  }
  if { ![has_command global_placement] } { raise_failure "there is no global_placement." }
  set given [option $options rounds [setting GSR_ROUNDS 1]]
  if { ![is_count $given count] || $count < 1 || $count > 9 } {
    raise_failure "\"$given\" is not a number of rounds (1-9)."
  }
  file mkdir $out_dir
  wrap_placement
  set loop [dict merge $options [dict create out_dir $out_dir rounds $count]]
  return [dict create status ok out_dir $out_dir rounds $count]
}

proc place_in_rounds { arguments } {
  variable loop
  variable rounds
  variable best
  variable record
  variable timing_flags
  set options $loop
  set loop ""
  set rounds {}
  set trial [lmap word $arguments {
    if { $word in $timing_flags } { continue }
    set word
  }]
  dict set options is_timed [expr { $trial ne $arguments }]
  set start [save_places]
  set began_ms [now_ms 0]
  # a failure of this one is the user's, as without us
  set result [::gsr::unwrapped_global_placement {*}$trial]
  lappend rounds [dict create placement_s [seconds_since $began_ms]]
  set record [new_record [dict get $options out_dir]]
  set best [dict create round 0 places [save_places] record $record]
  set failed [catch { run_rounds $trial $start $options } message]
  if { $failed } {
    if { [has_command gpl::replace_reset_cmd] } { catch { ::gpl::replace_reset_cmd } }
    if { [llength $rounds] == 1 && [dict get $record refused] eq "" } {
      dict set record refused $message
    }
  }
  if { [dict get $options is_timed] } {
    set result [place_timed $arguments $start]
  } else {
    restore_places [dict get $best places]
  }
  settle_rounds $message
  if { $failed } { report_failure "global_placement with feedback" $message }
  return $result
}

proc new_record { out_dir } {
  return [dict create file [file join $out_dir round_0 feedback.tsv] out_dir $out_dir \
    step GLOBAL_PLACE header {} refused "" rows {}]
}

# Predicts for the placement that is there, and places again as long as that makes it better.
proc run_rounds { trial start options } {
  variable rounds
  variable best
  set plan [predict_round 0 $options ""]
  for { set round 1 } { $round <= [dict get $options rounds] } { incr round } {
    if { ![place_round $plan $trial $start $options] } { return }
    set plan [predict_round $round $options $plan]
    if { ![is_better $round] } { return }
    set best [dict create round $round places [save_places] record $::gsr::record]
  }
}

# Whether the round's predicted overflow is below that of the best so far.
proc is_better { round } {
  variable rounds
  variable best
  set before [dict get [lindex $rounds [dict get $best round]] overflow]
  return [expr { [dict get [lindex $rounds $round] overflow] < $before }]
}

# Returns the plan that the prediction led to; `previous` is the plan that led to the placement.
proc predict_round { round options previous } {
  set folder [file join [dict get $options out_dir] round_$round]
  set facts [dict merge [step_facts POST GLOBAL_PLACE] [dict create metrics_file ""]]
  if { $previous ne "" } { dict set options previous $previous }
  set began_ms [now_ms 0]
  set result [predict $folder $facts $options]
  set_round prediction_s [seconds_since $began_ms]
  if { [dict get $result status] ne "ok" } { raise_failure [dict get $result reason] }
  set keys [dict keys [dict get $result metrics] *__gsr__overflow__predicted]
  set text ""
  if { [llength $keys] == 1 } { set text [dict get $result metrics [lindex $keys 0]] }
  if { ![is_number $text overflow] } {
    raise_failure "the prediction in $folder tells no predicted overflow."
  }
  set_round overflow $overflow
  set_round run_id [dict get $result run_id]
  return [file join $folder feedback.tsv]
}

# Places with the plan; false when there is nothing in it to place with.
proc place_round { plan trial start options } {
  variable rounds
  variable is_armed
  apply_feedback $plan [dict get $options out_dir] GLOBAL_PLACE [setting_words GSR_FEEDBACK] \
    [dict create run_id [dict get [lindex $rounds end] run_id]]
  undo_placement
  set is_armed 0
  if { [dict get $options is_timed] } {
    foreach row [rows_of unplace] {
      settle_line $row skipped "the netlist changes in a timing-driven placement"
    }
  }
  set counts [record_counts]
  if { [dict get $counts pending] + [dict get $counts applied] == 0 } { return 0 }
  lappend rounds {}
  set begins_anew [expr { [llength [rows_of unplace]] == 0 }]
  make_moves
  if { $begins_anew } { restore_insts [dict get $start insts] }
  set began_ms [now_ms 0]
  place_under_plan $trial
  set_round placement_s [seconds_since $began_ms]
  return 1
}

# The flow's own timing-driven command, from the start, with the plan and the pins that won.
proc place_timed { arguments start } {
  variable best
  variable record
  restore_insts [dict get $start insts]
  if { [dict get $best round] == 0 } {
    restore_pins [dict get $start pins]
    return [::gsr::unwrapped_global_placement {*}$arguments]
  }
  restore_pins [dict get $best places pins]
  set record [dict get $best record]
  set result [place_guarded $arguments $start]
  dict set best record $record
  return $result
}

# The record says of each action of the last plan whether it shaped the placement that was kept.
proc settle_rounds { failure } {
  variable record
  variable rounds
  variable best
  set kept [dict get $best round]
  set last [expr { [llength $rounds] - 1 }]
  if { $kept > 0 } {
    set record [dict get $best record]
    settle_pending applied
  } elseif { [dict exists [lindex $rounds $last] overflow] } {
    set before [dict get [lindex $rounds 0] overflow]
    settle_pending skipped "the placement with it was predicted no better: overflow\
      [dict get [lindex $rounds $last] overflow], without it $before tracks"
  } else {
    settle_pending skipped "the placement with it failed: $failure"
  }
  dict set record loop [dict create kept $kept rounds $rounds]
  rewrite_record
  say 7014 [rounds_text $kept]
}

proc rounds_text { kept } {
  variable rounds
  set overflows [lmap round $rounds {
    if { ![dict exists $round overflow] } { continue }
    format %.1f [dict get $round overflow]
  }]
  set text "Placed [llength $rounds] times"
  if { [llength $overflows] > 0 } {
    append text "; predicted overflow by round: [join $overflows {, }] tracks"
  }
  return "$text. Kept: round $kept."
}

proc set_round { key value } {
  variable rounds
  set last [lindex $rounds end]
  dict set last $key $value
  lset rounds end $last
}

# Of the wall clock, where this Tcl has one.
proc seconds_since { began_ms } {
  if { ![has_command clock] } { return "" }
  return [expr { ([now_ms 0] - $began_ms) / 1000.0 }]
}
}
