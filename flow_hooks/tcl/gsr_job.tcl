# What the scripts of jobs share, each an `openroad -exit` of its own: reading the job, the design's
# files and layers, routing, labels, processor time. Any error ends the process with exit code 1.

source [file join [file dirname [file normalize [info script]]] gsr.tcl]

namespace eval ::gsr {
# The job as a dict of lists of words.
proc read_job { path } {
  set job [dict create]
  dict for { key value } [read_pairs $path] {
    dict set job $key [lmap word [regexp -all -inline {[^ ]+} $value] { percent_decode $word }]
  }
  return $job
}

proc job_words { job key } {
  if { [dict exists $job $key] } { return [dict get $job $key] }
  return {}
}

proc job_word { job key { default "" } } {
  set words [job_words $job $key]
  if { [llength $words] == 0 } { return $default }
  return [lindex $words 0]
}

proc read_constraints { job } {
  foreach path [job_words $job sdc] { ::read_sdc $path }
}

# Needs tracks. Layers that no adjustment is given for have 0.
proc set_layers { job } {
  set range [job_word $job signal_layers]
  foreach { layers value } [job_words $job layer_adjustment] {
    ::set_global_routing_layer_adjustment $layers $value
  }
  set clock [job_word $job clock_layers]
  if { $clock ne "" } { set clock [below_top $clock $range] }
  if { $clock ne "" } { ::set_routing_layers -clock $clock }
  ::set_routing_layers -signal $range
  source_platform $job rc
}

# Layers of the clocks up to the highest of the signals, as MAX_ROUTING_LAYER has them: the router
# counts the tracks of all layers of either for every net until it lays them. "" where that is not
# two layers, which set_routing_layers asks for: clocks are then routed as signals.
proc below_top { clock signal } {
  set top [lindex [split $signal -] end]
  lassign [split $clock -] low high
  if { [routing_level $low] >= [routing_level $top] } { return "" }
  if { [routing_level $high] > [routing_level $top] } { set high $top }
  return $low-$high
}

# 0 for a layer that is not there, which set_routing_layers says in its own words.
proc routing_level { name } {
  set layer [[::ord::get_db_tech] findLayer $name]
  return [expr { $layer eq "NULL" ? 0 : [$layer getRoutingLevel] }]
}

proc source_platform { job key } {
  set path [job_word $job $key]
  if { $path eq "" } { return 0 }
  uplevel #0 [list source $path]
  return 1
}

proc is_timed { job } {
  return [expr { [dict exists $job sdc] && [dict exists $job lib] }]
}

# Routes as global_route does for labels, and writes these; slack with the parasitics of the route,
# and before it with those of the placement where `before` names a table for that.
proc route_and_label { job out_dir is_timed { before "" } } {
  if { $is_timed && $before ne "" } {
    ::estimate_parasitics -placement
    labels_timing [require_block] $out_dir $before
  }
  if { [job_word $job pin_access 0] } { ::pin_access -verbose 0 }
  lap global_route {
    ::global_route -allow_congestion \
      -congestion_iterations [job_word $job congestion_iterations] \
      -congestion_report_file [file join $out_dir congestion.rpt]
  }
  set kinds { grt wire_length }
  if { $is_timed } {
    ::estimate_parasitics -global_routing
    lappend kinds timing
  }
  return [export_labels $out_dir $kinds grt]
}

# --- processor time ---------------------------------------------------------------------

# Step -> seconds of this process, all threads; empty where there is no /proc to say.
variable laps {}

proc lap { name body } {
  variable laps
  set before [processor_ticks]
  uplevel 1 $body
  set after [processor_ticks]
  if { $before eq "" || $after eq "" } { return }
  dict set laps $name [expr { ($after - $before) / 100.0 }]
}

# User and system time in the unit of /proc, a hundredth of a second.
proc processor_ticks { } {
  if { [catch { open /proc/self/stat rb } channel] } { return "" }
  try {
    set text [read $channel]
  } finally {
    close $channel
  }
  # the name of the process comes in brackets, and may hold anything
  set fields [split [string range $text [string last ) $text] end]]
  return [expr { [lindex $fields 12] + [lindex $fields 13] }]
}

# What a job tells: processor seconds by step, then more keys and values.
proc write_laps { path { more {} } } {
  variable laps
  set text ""
  foreach { key value } [concat $laps $more] {
    append text "$key\t[printable $value]\n"
  }
  write_file $path $text
}
}
