# The prediction: export, one Python process, its results.

namespace eval ::gsr {
# Results of an earlier run, which must not be taken for those of this one.
variable result_files {
  done feedback.tsv feedback.json hotspots.tsv metrics.tsv insts.tsv markers.json markers.rpt
  gsr_feedback.json
  congestion_h.csv congestion_v.csv report.html
}

proc do_predict { options } {
  return [predict [chosen_out_dir $options] [facts_from_options $options] $options]
}

# Returns { status ok out_dir .. run_id .. metrics { key value .. } }, or raises a failure. The
# status is skipped when nothing is placed.
proc predict { out_dir facts options } {
  variable result_files
  require_block
  file mkdir $out_dir
  foreach name $result_files {
    file delete [file join $out_dir $name]
  }
  set log_dir [setting LOG_DIR]
  set metrics_file [dict get $facts metrics_file]
  if { $log_dir ne "" && $metrics_file ne "" } { file delete [file join $log_dir $metrics_file] }
  set exported [export_design $out_dir $facts $options]
  if { ![has_placement [file join $out_dir design.def]] } {
    say 7010 "Nothing is placed yet, so there is nothing to predict."
    return [dict create status skipped out_dir $out_dir reason "nothing is placed"]
  }
  set run_id [dict get $exported run_id]
  set log [file join $out_dir gsr.log]
  set command [flow_command $exported $options]
  set wrong [run_child $command $log [timeout_s [option $options timeout]]]
  tell_of_server $log
  if { $wrong eq "" } {
    set wrong [missing_done [file join $out_dir done] $run_id]
  }
  if { $wrong ne "" } {
    set tail [log_tail $log]
    if { $tail ne "" } { append wrong ": $tail" }
    raise_failure "[lindex $command 0] $wrong (log: $log). Does GSR_PYTHON name a Python with gsr?"
  }
  set metrics [dict create]
  catch { set metrics [read_pairs [file join $out_dir metrics.tsv]] }
  say 7001 "Prediction of [dict get $facts stage] is in $out_dir."
  return [dict create status ok out_dir $out_dir run_id $run_id metrics $metrics]
}

proc flow_command { exported options } {
  set command [python_command]
  lappend command -m gsr_plugin flow --hook [dict get $exported hook] \
    --out [dict get $exported out_dir] --mode [mode]
  set log_dir [setting LOG_DIR]
  if { $log_dir ne "" } { lappend command --log-dir [file normalize $log_dir] }
  set weights [option $options weights [setting GSR_MODEL]]
  if { $weights ne "" } { lappend command --weights [file normalize $weights] }
  set previous [option $options previous]
  if { $previous ne "" } { lappend command --previous [file normalize $previous] }
  foreach assignment [setting_words GSR_PLAN] {
    lappend command --set $assignment
  }
  set device [option $options device [setting GSR_DEVICE]]
  if { $device ne "" } {
    if { ![regexp {^[A-Za-z0-9:_]+$} $device] } { raise_failure "GSR_DEVICE is \"$device\"." }
    lappend command --device $device
  }
  return $command
}

# An exit code of 0 alone is not believed: the run must have written its id at the very end.
proc missing_done { path run_id } {
  if { ![file isfile $path] } { return "ended without writing done" }
  set found [string trim [read_bytes $path]]
  if { $found ne $run_id } {
    set what "left the run id \"$found\" in done, not \"$run_id\""
    return "$what (does another flow use this folder?)"
  }
  return ""
}
}
