# Settings, messages and the arguments of commands.

namespace eval ::gsr {
# What is said once in a process only.
variable said {}
# What each command takes: keys with a value, flags without one, keys that may be repeated.
variable command_keys {
  gsr_export_design {
    keys { out_dir stage step lef lib sdc verilog rtl } flags { with_verilog }
  }
  gsr_predict {
    keys { out_dir stage step lef lib sdc verilog rtl timeout device weights previous }
    flags { with_verilog }
  }
  gsr_loop_placement {
    keys { out_dir rounds lef lib sdc verilog rtl timeout device weights } flags { with_verilog }
  }
  gsr_apply_feedback { keys { file def out_dir actions step } flags { dry_run } }
  gsr_clear_feedback { keys { step } flags {} }
  gsr_annotate { keys { out_dir file category } flags { markers properties } }
  gsr_report_prediction { keys { out_dir file worst } flags {} }
  gsr_check_gate { keys { out_dir file } flags {} pairs { metric max } }
  gsr_export_labels { keys { out_dir } flags { grt wire_length timing drc } }
  gsr_access_points { keys { file } flags {} }
  gsr_show_heatmap { keys { out_dir direction } flags {} }
  gsr_version { keys {} flags {} }
}
variable command_help {
  gsr_export_design {[-out_dir dir] [-stage name] [-step name] [-lef files] [-lib files] \
    [-sdc file] [-verilog file] [-rtl files] [-with_verilog]}
  gsr_predict {[-out_dir dir] [-stage name] [-step name] [-lef files] [-lib files] [-sdc file] \
    [-verilog file] [-rtl files] [-with_verilog] [-timeout seconds] [-device name] \
    [-weights file] [-previous feedback.tsv]}
  gsr_loop_placement {[-out_dir dir] [-rounds n] [-lef files] [-lib files] [-sdc file] \
    [-verilog file] [-rtl files] [-with_verilog] [-timeout seconds] [-device name] [-weights file]}
  gsr_apply_feedback {[-file feedback.tsv] [-def placed.def] [-out_dir dir] [-actions list] \
    [-step step] [-dry_run]}
  gsr_clear_feedback {[-step step]}
  gsr_annotate {[-out_dir dir] [-file markers] [-category name] [-markers] [-properties]}
  gsr_report_prediction {[-out_dir dir] [-file hotspots.tsv] [-worst n]}
  gsr_check_gate {[-metric name -max value]... [-out_dir dir] [-file metrics.tsv]}
  gsr_export_labels {[-out_dir dir] [-grt] [-wire_length] [-timing] [-drc]}
  gsr_access_points {[-file access_points.csv]}
  gsr_show_heatmap {[-out_dir dir] [-direction all|horizontal|vertical]}
  gsr_version {}
}

proc has_command { name } {
  return [expr { [info commands ::$name] ne "" }]
}

# --- settings ---------------------------------------------------------------------------

proc setting { name { default "" } } {
  if { [info exists ::env($name)] && [string trim $::env($name)] ne "" } {
    return [string trim $::env($name)]
  }
  return $default
}

# The words of a list setting; blanks and commas part them, and nothing in it is ever evaluated.
proc setting_words { name { default "" } } {
  return [regexp -all -inline {[^\s,]+} [setting $name $default]]
}

proc choice { name words default } {
  set value [string tolower [setting $name $default]]
  if { $value in $words } { return $value }
  warn_once 7030 "$name is \"$value\", not one of [join $words {, }]; $default is used."
  return $default
}

proc mode { } {
  return [choice GSR_MODE { observe advise apply gate } observe]
}

proc is_enabled { } {
  return [expr { [string tolower [setting GSR_ENABLE 1]] ni { 0 no off false } }]
}

proc stops_on_error { } {
  return [expr { [choice GSR_ON_ERROR { warn fail } warn] eq "fail" }]
}

# --- messages (FLW 7000-7029 say, 7030-7059 warn, 7060-7099 stop) -----------------------

# Text fit for any log and terminal: control characters and what is not ASCII are spelled out.
proc printable { text } {
  if { ![regexp {[^\x20-\x7e]} $text] } { return $text }
  set out ""
  foreach char [split $text ""] {
    scan $char %c code
    if { $code >= 0x20 && $code <= 0x7e } {
      append out $char
    } elseif { $char eq "\n" } {
      append out " / "
    } else {
      append out [format "\\u%04x" $code]
    }
  }
  return $out
}

proc say { id text } {
  set text [printable $text]
  if { [has_command utl::info] } {
    ::utl::info FLW $id $text
  } else {
    puts "\[INFO FLW-$id\] $text"
  }
}

proc alert { id text } {
  set text [printable $text]
  if { [has_command utl::warn] } {
    ::utl::warn FLW $id $text
  } else {
    puts "\[WARNING FLW-$id\] $text"
  }
}

proc warn_once { id text } {
  variable said
  if { [dict exists $said $text] } { return }
  dict set said $text 1
  alert $id $text
}

# Ends the user's step: only for a gate, for GSR_ON_ERROR=fail and for wrong arguments.
proc stop_flow { id text } {
  set text [printable $text]
  if { [has_command utl::error] } { ::utl::error FLW $id $text }
  error "\[ERROR FLW-$id\] $text"
}

# Raised inside, carried to the top, turned into `stop_flow` there.
proc raise_stop { id text } {
  return -code error -errorcode [list GSR STOP $id] $text
}

# A failure that costs the user nothing but the prediction.
proc raise_failure { text } {
  return -code error -errorcode [list GSR FAILURE] $text
}

# STOP, FAILURE or UNSUPPORTED for an error of ours, else nothing.
proc error_kind { details } {
  lassign [dict get $details -errorcode] owner kind
  if { $owner eq "GSR" } { return $kind }
  return ""
}

proc report_failure { what text } {
  set text "$what: $text"
  if { [stops_on_error] } { stop_flow 7061 $text }
  alert 7031 $text
}

# --- commands ---------------------------------------------------------------------------

proc run_command { command arguments } {
  set options [parse_arguments $command $arguments]
  set body ::gsr::do_[string range $command 4 end]
  if { ![catch { $body $options } result details] } { return $result }
  if { [error_kind $details] eq "STOP" } {
    stop_flow [lindex [dict get $details -errorcode] 2] $result
  }
  report_failure $command $result
  return [dict create status failed reason $result]
}

# The options as a dict; a unique beginning of an option is enough, as in OpenSTA.
proc parse_arguments { command arguments } {
  variable command_keys
  set known [dict get $command_keys $command]
  set pairs [option $known pairs]
  set keys [concat [dict get $known keys] $pairs]
  set options [dict create]
  while { [llength $arguments] > 0 } {
    set arguments [lassign $arguments word]
    set name [full_name $command $word [concat $keys [dict get $known flags]]]
    if { $name ni $keys } {
      dict set options $name 1
      continue
    }
    if { [llength $arguments] == 0 } { stop_flow 7060 "$command: -$name needs a value." }
    set arguments [lassign $arguments value]
    if { $name in $pairs } {
      dict lappend options pairs $name $value
    } else {
      dict set options $name $value
    }
  }
  return $options
}

proc full_name { command word names } {
  set wanted [string range $word 1 end]
  if { [string index $word 0] eq "-" && $wanted ne "" } {
    if { $wanted in $names } { return $wanted }
    set length [string length $wanted]
    set found {}
    foreach name $names {
      if { [string equal -length $length $wanted $name] } { lappend found $name }
    }
    if { [llength $found] == 1 } { return [lindex $found 0] }
  }
  set usage [join [lmap name $names { string cat - $name }] ", "]
  stop_flow 7060 "$command: \"$word\" is not one of its options ($usage)."
}

proc option { options name { default "" } } {
  if { [dict exists $options $name] } { return [dict get $options $name] }
  return $default
}

# `help gsr_predict` and `man` of OpenROAD know the commands.
proc register_help { } {
  variable command_help
  if { ![has_command sta::define_cmd_args] } { return }
  dict for { command usage } $command_help {
    ::sta::define_cmd_args $command $usage
  }
}

# --- places -----------------------------------------------------------------------------

# Where a step's files go. GSR_OUT_DIR is taken as it is; else each hook has its own folder below
# GSR_OUT_ROOT (default: $OBJECTS_DIR/gsr); outside a flow it is ./gsr.
proc default_out_dir { { hook "" } } {
  set given [setting GSR_OUT_DIR]
  if { $given ne "" } { return [file normalize $given] }
  if { $hook eq "" } { return [file normalize gsr] }
  return [file join [out_root] [string tolower $hook]]
}

proc out_root { } {
  set root [setting GSR_OUT_ROOT]
  if { $root eq "" } {
    set root [file join [setting OBJECTS_DIR .] gsr]
  }
  return [file normalize $root]
}

proc chosen_out_dir { options } {
  set given [option $options out_dir]
  if { $given ne "" } { return [file normalize $given] }
  return [default_out_dir]
}
}

::gsr::register_help
