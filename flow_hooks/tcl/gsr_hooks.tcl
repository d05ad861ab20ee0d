# The hooks of OpenROAD-flow-scripts: what happens before and after each step.

namespace eval ::gsr {
variable chaining {}
variable predict_at { PRE_GLOBAL_PLACE POST_GLOBAL_PLACE POST_DETAIL_PLACE PRE_GLOBAL_ROUTE }
variable gate_at { POST_GLOBAL_PLACE POST_DETAIL_PLACE PRE_GLOBAL_ROUTE }
variable apply_at { PRE_GLOBAL_PLACE PRE_DETAIL_PLACE PRE_CTS PRE_GLOBAL_ROUTE }
variable labels_at { POST_GLOBAL_ROUTE grt POST_DETAIL_ROUTE route }

# Called by orfs/<pre|post>_<step>.tcl, in the frame that ORFS sources the hook in.
proc run_hook { when step } {
  set chained [chained_script ${when}_${step}]
  if { $chained ne "" } {
    variable chaining
    dict set chaining ${when}_$step 1
    try {
      # an error in the user's own script is the user's, as without us
      uplevel 1 [list source $chained]
    } finally {
      dict unset chaining ${when}_$step
    }
  }
  if { ![is_enabled] } { return }
  if { ![catch { hook_body $when $step } message details] } { return }
  if { [error_kind $details] eq "STOP" } {
    stop_flow [lindex [dict get $details -errorcode] 2] $message
  }
  report_failure ${when}_$step $message
}

# The user's own script for the hook, kept by private.mk in GSR_CHAIN_<HOOK>_TCL.
proc chained_script { hook } {
  variable chaining
  variable home
  set path [setting GSR_CHAIN_${hook}_TCL]
  if { $path eq "" } { return "" }
  set ours [file join $home orfs [string tolower $hook].tcl]
  if { [dict exists $chaining $hook] || [file normalize $path] eq $ours } {
    warn_once 7042 "GSR_CHAIN_${hook}_TCL leads back to our own hook; it is passed over."
    return ""
  }
  return $path
}

proc hook_body { when step } {
  variable predict_at
  variable apply_at
  variable labels_at
  variable num_regions
  set hook ${when}_$step
  set facts [step_facts $when $step]
  if { [block] eq "NULL" } { return }
  set out_dir [default_out_dir $hook]
  if { $hook in { POST_GLOBAL_PLACE POST_GLOBAL_ROUTE } } { clear_feedback $step }
  if { $hook eq "PRE_GLOBAL_ROUTE" && $num_regions > 0 } {
    alert 7037 "$num_regions region adjustments of the placement are still active in the router."
  }
  # a failed prediction is no reason to leave out what does not need it
  set failures {}
  if { $hook in [setting_words GSR_PREDICT_AT $predict_at] && [wants_prediction $hook $out_dir] } {
    lappend failures {*}[attempt { predict_and_tell $hook $out_dir $facts }]
  }
  if { [mode] eq "apply" && $hook in $apply_at } {
    lappend failures {*}[attempt { apply_in_hook $hook $step $out_dir }]
  }
  if { [dict exists $labels_at $hook] && [llength [label_kinds]] > 0 } {
    lappend failures {*}[attempt { labels_in_hook $out_dir $facts [dict get $labels_at $hook] }]
  }
  if { [llength $failures] > 0 } { raise_failure [join $failures { | }] }
}

# Runs a part of a hook; returns its failure in a list. A deliberate stop passes through.
proc attempt { script } {
  if { ![catch { uplevel 1 $script } message details] } { return {} }
  if { [error_kind $details] eq "STOP" } {
    return -options [dict incr details -level] $message
  }
  return [list $message]
}

proc wants_prediction { hook out_dir } {
  # global_placement itself predicts there, or a plan is given
  if { $hook eq "PRE_GLOBAL_PLACE" && [mode] eq "apply" } { return 0 }
  if { [prediction_dir ""] eq $out_dir } {
    warn_once 7043 "GSR_PREDICTION_DIR is where $hook would write; it is kept as it is."
    return 0
  }
  return 1
}

proc predict_and_tell { hook out_dir facts } {
  variable gate_at
  set result [predict $out_dir $facts {}]
  if { [dict get $result status] ne "ok" } { return }
  catch { puts [prediction_report [file join $out_dir hotspots.tsv] 5] }
  if { [mode] in { advise apply } && $hook ne "PRE_GLOBAL_PLACE" } {
    annotate $out_dir "" "" 1 1
  }
  if { [mode] eq "gate" && $hook in $gate_at } {
    check_gate [file join $out_dir metrics.tsv] [gate_limits]
  }
}

# The plan: of an earlier run (GSR_PREDICTION_DIR); else global placement makes its own, and the
# steps after it take that of the prediction for its result.
proc apply_in_hook { hook step out_dir } {
  variable predict_at
  if { $step eq "GLOBAL_PLACE" && [setting GSR_PREDICTION_DIR] eq "" } {
    if { $hook in [setting_words GSR_PREDICT_AT $predict_at] } { arm_loop $out_dir {} }
    return
  }
  set default $out_dir
  if { $step ne "GLOBAL_PLACE" && [setting GSR_OUT_DIR] eq "" } {
    set default [file join [out_root] post_global_place]
  }
  set file [file join [prediction_dir $default] feedback.tsv]
  if { ![file isfile $file] } {
    say 7011 "$hook: there is no plan at $file."
    return
  }
  apply_feedback $file $out_dir $step [setting_words GSR_FEEDBACK]
}

proc labels_in_hook { out_dir facts route } {
  set kinds [label_kinds]
  set folder [file join $out_dir labels]
  if { $route eq "grt" } {
    # for `gsr export --hook hook.json --labels labels`
    export_design $out_dir $facts {}
    export_labels $folder $kinds grt
    return
  }
  # ORFS extracts parasitics of the wires later: slack would be that without wires
  foreach kind { grt timing } { set kinds [lsearch -all -inline -not -exact $kinds $kind] }
  if { [llength $kinds] == 0 } { return }
  # the violations belong to the placement that the labels of the global route are of
  set routed [file join [default_out_dir POST_GLOBAL_ROUTE] labels]
  if { $routed eq $folder } { set folder [file join $out_dir labels_route] }
  export_labels $folder $kinds $route
  set report [file join $folder route_drc.rpt]
  if { ![file isfile $report] } { return }
  if { [file isfile [file join $routed done.json]] } {
    file copy -force $report $routed
  }
}

# --- make gsr_predict, make gsr_labels -------------------------------------------------------

variable odb_hooks {
  3_1_place_gp_skip_io POST_GLOBAL_PLACE_SKIP_IO 3_2_place_iop POST_IO_PLACEMENT
  3_3_place_gp POST_GLOBAL_PLACE 3_4_place_resized POST_RESIZE
  3_5_place_dp POST_DETAIL_PLACE 3_place POST_DETAIL_PLACE
  4_1_cts PRE_GLOBAL_ROUTE 4_cts PRE_GLOBAL_ROUTE
}

proc predict_odb { odb } {
  variable odb_hooks
  set stem [file rootname [file tail $odb]]
  set hook POST_DETAIL_PLACE
  if { [dict exists $odb_hooks $stem] } { set hook [dict get $odb_hooks $stem] }
  set out_dir [default_out_dir $hook]
  set result [gsr_predict -step $hook -out_dir $out_dir]
  if { [dict get $result status] eq "ok" } { gsr_report_prediction -out_dir $out_dir }
  return $result
}

proc labels_odb { } {
  set out_dir [default_out_dir POST_GLOBAL_ROUTE]
  gsr_export_design -step POST_GLOBAL_ROUTE -out_dir $out_dir
  return [export_labels [file join $out_dir labels] [label_kinds] odb]
}

# A design that could not be routed has no constraints of its own.
proc sdc_of_odb { odb } {
  set sdc [file rootname [file tail $odb]].sdc
  if { [file isfile [file join [setting RESULTS_DIR] $sdc]] } { return $sdc }
  return 4_cts.sdc
}
}
