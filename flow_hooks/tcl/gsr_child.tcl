# Running Python: one process, out of reach of OpenROAD's own environment, with a time limit.

namespace eval ::gsr {
variable run_counter 0
# An OpenROAD container may set these for itself; they would mislead another Python. Both lists
# stand in child_python.py as well.
variable foreign_variables { PYTHONPATH PYTHONHOME LD_LIBRARY_PATH }
variable own_variables { OMP_WAIT_POLICY passive PYTHONSAFEPATH 1 PYTHONUNBUFFERED 1 }
variable max_log_bytes 16777216
# How long a child that was asked to end may take, before it is killed.
variable patience_s 5

# The Python to run, as the words of a command.
proc python_command { } {
  foreach candidate [list [setting GSR_PYTHON] [environment_python] [setting PYTHON_EXE] python3] {
    if { $candidate eq "" } { continue }
    if { [executable_path $candidate] ne "" } { return [list [executable_path $candidate]] }
    # several words, such as a wrapper and its arguments; a bad list is left as one word
    if { [llength [split $candidate]] > 1 && ![catch { llength $candidate }] } {
      set words [lassign $candidate program]
      set path [executable_path $program]
      if { $path ne "" } { return [list $path {*}$words] }
    }
    return [list $candidate]
  }
}

# The Python of the environment that this package is installed in.
proc environment_python { } {
  variable home
  set packages [file dirname [file dirname $home]]
  if { [file tail $packages] ni { site-packages dist-packages } } { return "" }
  set root [file dirname [file dirname [file dirname $packages]]]
  foreach name { python3 python } {
    set path [file join $root bin $name]
    if { [file executable $path] } { return $path }
  }
  return ""
}

# The absolute path of a program, or "" when there is none. (Some builds lack Tcl's own
# auto_execok.)
proc executable_path { program } {
  if { [llength [file split $program]] > 1 } {
    set path [file normalize $program]
    if { [is_program $path] } { return $path }
    return ""
  }
  foreach folder [split [setting PATH /usr/bin:/bin] :] {
    set path [file join [file normalize $folder] $program]
    if { [is_program $path] } { return $path }
  }
  return ""
}

proc is_program { path } {
  return [expr { [file isfile $path] && [file executable $path] }]
}

proc new_run_id { } {
  variable run_counter
  incr run_counter
  set id "[pid]-$run_counter"
  if { [has_command clock] } { append id -[clock microseconds] }
  return $id
}

proc timeout_s { { given "" } } {
  if { $given eq "" } { set given [setting GSR_TIMEOUT 600] }
  if { [is_number $given seconds] && $seconds > 0 } { return $seconds }
  warn_once 7033 "GSR_TIMEOUT is \"$given\", not a number of seconds; 600 is used."
  return 600
}

# Runs `command` to its end or to the time limit; what it prints goes to `log`.
# Returns "" when it exits with 0, else what went wrong.
proc run_child { command log seconds } {
  variable patience_s
  if { [executable_path [lindex $command 0]] eq "" } { return "was not found" }
  set guard [executable_path timeout]
  set grace 0
  if { $guard ne "" } {
    # the outer guard also ends what the child has started itself
    set command [list $guard -k $patience_s $seconds {*}$command]
    set grace [expr { 2 * $patience_s }]
  }
  set start_ms [now_ms 0]
  set out [open $log wb]
  try {
    set saved [enter_child_environment]
    try {
      set pipe [open [concat | $command [list < /dev/null 2>@1]] rb]
    } on error { message } {
      return "cannot be started: $message"
    } finally {
      leave_child_environment $saved
    }
    set passed [drain $pipe $out $start_ms [expr { $seconds + $grace }]]
  } finally {
    close $out
  }
  set is_running [expr { $passed > $seconds + $grace }]
  if { $is_running } { kill_children [pid $pipe] }
  # only a blocking close waits for the child and tells how it ended
  fconfigure $pipe -blocking 1
  if { ![catch { close $pipe } message details] && !$is_running } { return "" }
  if { $passed >= $seconds } { return "was stopped: it ran longer than GSR_TIMEOUT ($seconds s)" }
  return [exit_reason $message [dict get $details -errorcode]]
}

proc exit_reason { message code } {
  lassign $code kind _ status
  if { $kind eq "CHILDKILLED" } { return "was killed ($status)" }
  if { $kind ne "CHILDSTATUS" } { return $message }
  if { $status > 128 } { return "was killed (signal [expr { $status - 128 }])" }
  return "failed with exit code $status"
}

# Copies the child's output to the log `out` until the child closes it or `limit` seconds are over;
# returns the seconds since `start_ms`. Without the event loop, so that nothing else of the session
# runs meanwhile.
proc drain { pipe out start_ms limit } {
  variable max_log_bytes
  set slept_ms 0
  set pause_ms 2
  set written 0
  fconfigure $pipe -blocking 0
  while { 1 } {
    # a bounded read, since a child may write faster than it is read; the log takes its fill of it
    set bytes [read $pipe 65536]
    puts -nonewline $out [string range $bytes 0 [expr { $max_log_bytes - $written - 1 }]]
    set written [expr { min($max_log_bytes, $written + [string length $bytes]) }]
    set passed [expr { ([now_ms $slept_ms] - $start_ms) / 1000.0 }]
    if { [eof $pipe] || $passed > $limit } { return $passed }
    if { [string length $bytes] > 0 } { set pause_ms 2 }
    after $pause_ms
    incr slept_ms $pause_ms
    set pause_ms [expr { min(100, $pause_ms * 2) }]
  }
}

# Some builds of OpenROAD have no `clock`: there, the time slept must do.
proc now_ms { slept_ms } {
  if { [has_command clock] } { return [clock milliseconds] }
  return $slept_ms
}

proc kill_children { pids } {
  set shell [executable_path sh]
  if { $shell eq "" } { return }
  # the children by their own ids; `timeout` passes a TERM on to what it runs
  catch { exec $shell -c {kill -TERM "$@"; sleep 0.2; kill -KILL "$@"} sh {*}$pids >& /dev/null }
}

# What the child must not inherit is taken out of the environment until it has been started.
proc enter_child_environment { } {
  variable foreign_variables
  variable own_variables
  set wanted $own_variables
  if { [is_count [setting NUM_CORES] cores] && $cores > 0 } {
    dict set wanted OMP_NUM_THREADS $cores
  }
  if { [choice GSR_SERVE { 0 1 } 0] eq "1" } {
    # the server that the child starts serves this flow alone, and ends with it
    dict set wanted GSR_SERVER [setting GSR_SERVER [file join [out_root] server.tsv]]
    dict set wanted GSR_SESSION_PID [pid]
  }
  set saved [dict create]
  foreach name [concat $foreign_variables [dict keys $wanted]] {
    if { [info exists ::env($name)] } {
      dict set saved $name [list 1 $::env($name)]
      unset ::env($name)
    } else {
      dict set saved $name [list 0 ""]
    }
  }
  dict for { name value } $wanted {
    set ::env($name) $value
  }
  return $saved
}

proc leave_child_environment { saved } {
  dict for { name was } $saved {
    lassign $was existed value
    if { $existed } {
      set ::env($name) $value
    } else {
      unset -nocomplain ::env($name)
    }
  }
}

# What a child that could not use the server says in its log, for the flow's.
proc tell_of_server { log } {
  variable said
  if { [catch { read_bytes $log } bytes] } { return }
  if { ![regexp -line {^gsr: the server is not used: (.*)$} $bytes _ reason] } { return }
  set text "The server was not used: $reason."
  if { [dict exists $said $text] } { return }
  dict set said $text 1
  say 7012 $text
}

# The last lines that say something, for a message.
proc log_tail { log } {
  if { [catch { read_bytes $log } bytes] } { return "" }
  set text [string range $bytes end-2000 end]
  if { [is_utf8 $text] } { set text [encoding convertfrom utf-8 $text] }
  set lines {}
  foreach line [split $text \n] {
    if { [string trim $line] ne "" } { lappend lines [string trim $line] }
  }
  return [printable [join [lrange $lines end-2 end] " / "]]
}
}
