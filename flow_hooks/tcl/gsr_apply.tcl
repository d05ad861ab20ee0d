# Carrying out a plan, and undoing it.

namespace eval ::gsr {
# The plan at work: facts of the file, and its rows with their status.
variable record {}
# True from gsr_apply_feedback until the next global_placement.
variable is_armed 0
# What has to be undone.
variable blockages {}
variable saved_layers {}
variable saved_env {}
variable padded {}
variable num_regions 0
variable pending_reason "global_placement has not run since"

# --- gsr_apply_feedback -----------------------------------------------------------------

proc do_apply_feedback { options } {
  set out_dir [chosen_out_dir $options]
  set file [option $options file]
  if { $file eq "" } { set file [file join [prediction_dir $out_dir] feedback.tsv] }
  set step [lindex [split_hook [option $options step]] 1]
  set actions [regexp -all -inline {[^\s,]+} [option $options actions]]
  if { [llength $actions] == 0 } { set actions [setting_words GSR_FEEDBACK] }
  return [apply_feedback $file $out_dir $step $actions $options]
}

# The folder whose plan is carried out: an earlier run's, when GSR_PREDICTION_DIR names one.
proc prediction_dir { default } {
  set given [setting GSR_PREDICTION_DIR]
  if { $given ne "" } { return [file normalize $given] }
  return $default
}

# Options: `dry_run`; `def`, the placement that the plan was made for, if it does not lie beside it;
# `run_id`, of the prediction that the plan must be of.
proc apply_feedback { file out_dir step actions { options {} } } {
  variable record
  variable is_armed
  variable pending_reason
  set block [require_block]
  clear_feedback
  set is_armed 0
  set record [dict create file [file normalize $file] out_dir $out_dir step $step header {} \
    refused "" rows {} placement [option $options def]]
  if { [catch { read_plan $file $block [option $options run_id] } plan details] } {
    dict set record refused $plan
    write_record
    return -options $details $plan
  }
  dict set record header [dict get $plan header]
  # a record that cannot be written stops us here, before anything is in force
  write_record
  lassign [routing_layers] layers
  set context [dict create block $block step $step actions $actions layers $layers \
    dbu [$block getDbUnitsPerMicron] die [die_dbu $block]]
  # every line is checked before the first command is called
  set rows [lmap row [dict get $plan rows] { check_row $row $context }]
  set hold ""
  if { [dict exists $options dry_run] } { set hold "dry run" }
  if { [mode] ne "apply" } { set hold "GSR_MODE is [mode], not apply" }
  dict set record rows [lmap row $rows { carry_out $row $hold }]
  if { [lsearch -exact [record_values reason] $pending_reason] >= 0 } { arm }
  write_record
  set counts [record_counts]
  if { $step eq "" } { set step "this session" }
  set header [dict get $record header]
  if { [option $header verdict] ne "" } { say 7007 [option $header verdict] }
  foreach line [advice $header] {
    say 7008 "Advice: $line"
  }
  say 7002 "Feedback for $step: [counts_text $counts]."
  return [dict merge [dict create status ok] $counts]
}

# A checked row is carried out now, or waits for global_placement.
proc carry_out { row hold } {
  variable pending_reason
  if { [dict get $row status] ne "" } { return $row }
  if { $hold ne "" } { return [settle $row skipped $hold] }
  switch -- [dict get $row action] {
    padding - region_adjustment { }
    layer_adjustment {
      if { [row_steps $row {}] eq "GLOBAL_PLACE" } { return [settle $row skipped $pending_reason] }
    }
    default { return [settle $row skipped $pending_reason] }
  }
  if { [catch { apply_[dict get $row action] $row } message details] } {
    if { [error_kind $details] eq "UNSUPPORTED" } {
      return [settle $row unsupported $message]
    }
    return [settle $row skipped $message]
  }
  return [settle $row applied]
}

proc apply_padding { row } {
  variable padded
  lassign [dict get $row pair] left right
  set name [dict get $row name]
  set_padding [dict get $row inst] $name $left $right
  lappend padded $name
}

# The procedure below the documented command takes the inst itself; the command takes patterns.
proc set_padding { inst name left right } {
  if { [has_command dpl::set_padding_inst] } {
    ::dpl::set_padding_inst $inst $left $right
    return
  }
  if { ![has_command set_placement_padding] } {
    return -code error -errorcode [list GSR UNSUPPORTED] "this OpenROAD cannot pad"
  }
  if { [regexp {[][*?\\{}$\s"]} $name] } {
    return -code error -errorcode [list GSR UNSUPPORTED] \
      "set_placement_padding would read the name as a pattern"
  }
  ::set_placement_padding -instances [list $name] -left $left -right $right
}

# One layer a call. Grown by one database unit on every side, because the router turns the
# adjustment over in the outermost tiles of a region whose edges lie exactly on theirs; never
# beyond the die.
proc apply_region_adjustment { row } {
  variable num_regions
  if { [setting KEEP_VARS] eq "1" } {
    error "in a single-process flow it would still be active when the router judges the placement"
  }
  set block [block]
  set dbu [$block getDbUnitsPerMicron]
  lassign [die_dbu $block] die_x1 die_y1 die_x2 die_y2
  lassign [dict get $row box] x1 y1 x2 y2
  set grown [list [expr { max($die_x1, $x1 - 1) }] [expr { max($die_y1, $y1 - 1) }] \
    [expr { min($die_x2, $x2 + 1) }] [expr { min($die_y2, $y2 + 1) }]]
  # the command cuts off the fraction of a database unit: a quarter keeps it from losing one
  set region [lmap value $grown { expr { ($value + 0.25) / $dbu } }]
  ::set_global_routing_region_adjustment $region -layer [dict get $row layer_name] \
    -adjustment [dict get $row number]
  incr num_regions
}

proc apply_layer_adjustment { row } {
  variable saved_layers
  set name [dict get $row layer_name]
  set layer [[::ord::get_db_tech] findLayer $name]
  set scope [row_steps $row {}]
  if { ![dict exists $saved_layers $scope $name] } {
    dict set saved_layers $scope $name [$layer getLayerAdjustment]
  }
  ::set_global_routing_layer_adjustment $name [dict get $row number]
}

# --- undoing ----------------------------------------------------------------------------

proc do_clear_feedback { options } {
  return [clear_feedback [lindex [split_hook [option $options step]] 1]]
}

# Takes back what is in force; with a step, only what belongs to it. Region adjustments stay until
# the process ends: OpenROAD has no command for it.
proc clear_feedback { { step "" } } {
  variable is_armed
  variable loop
  variable num_regions
  set undone [dict create status ok blockages 0 layer_adjustments 0 paddings 0]
  if { $step in { "" GLOBAL_PLACE } } {
    set undone [dict merge $undone [undo_placement]]
    set loop ""
    if { $is_armed } {
      set is_armed 0
      settle_pending skipped "cleared before global_placement ran"
    }
    if { $num_regions > 0 } {
      dict set undone region_adjustments unsupported(process-local)
      say 7005 "$num_regions region adjustments stay until this process ends."
    }
  }
  if { $step in { "" GLOBAL_ROUTE } } {
    dict incr undone layer_adjustments [restore_layers GLOBAL_ROUTE]
  }
  if { $step in { "" DETAIL_PLACE CTS GLOBAL_ROUTE } } { dict set undone paddings [reset_padding] }
  return $undone
}

proc undo_placement { } {
  variable blockages
  variable saved_env
  set count 0
  foreach blockage $blockages {
    if { [catch { ::odb::dbBlockage_destroy $blockage } message] } {
      alert 7036 "A density blockage could not be removed: $message"
    } else {
      incr count
    }
  }
  set blockages {}
  leave_child_environment $saved_env
  set saved_env {}
  return [dict create blockages $count layer_adjustments [restore_layers GLOBAL_PLACE]]
}

proc restore_layers { scope } {
  variable saved_layers
  if { ![dict exists $saved_layers $scope] } { return 0 }
  set old [dict get $saved_layers $scope]
  dict for { name value } $old {
    ::set_global_routing_layer_adjustment $name $value
  }
  dict unset saved_layers $scope
  return [dict size $old]
}

# Padding of an inst cannot be taken away, only set to what the flow gives all.
proc reset_padding { } {
  variable padded
  set block [block]
  set count 0
  foreach name $padded {
    if { $block eq "NULL" } { break }
    set inst [$block findInst $name]
    if { $inst in { NULL "" } } { continue }
    set_padding $inst $name [detail_padding] [detail_padding]
    incr count
  }
  set padded {}
  return $count
}
}
