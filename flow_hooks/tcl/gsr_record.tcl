# The record of what became of each line of a plan: gsr_feedback.json.

namespace eval ::gsr {
proc settle_line { row status reason } {
  variable record
  set line [dict get $row line]
  dict set record rows [lmap other [dict get $record rows] {
    if { [dict get $other line] == $line } { set other [settle $other $status $reason] }
    set other
  }]
}

proc settle_pending { status { reason "" } } {
  variable record
  variable pending_reason
  if { $record eq "" } { return }
  dict set record rows [lmap row [dict get $record rows] {
    if { [dict get $row reason] eq $pending_reason } { set row [settle $row $status $reason] }
    set row
  }]
  rewrite_record
}

# What is in force stays so when the record of it cannot be written any more.
proc rewrite_record { } {
  if { [catch { write_record } message] } {
    alert 7046 "The record of the plan could not be written: $message"
  }
}

proc record_values { key } {
  variable record
  return [lmap row [dict get $record rows] { dict get $row $key }]
}

proc record_counts { } {
  variable pending_reason
  set counts [dict create applied 0 skipped 0 unsupported 0 pending 0]
  foreach status [record_values status] reason [record_values reason] {
    if { $reason eq $pending_reason } { set status pending }
    dict incr counts $status
  }
  return $counts
}

proc counts_text { counts } {
  set words {}
  dict for { status count } $counts {
    lappend words "$count $status"
  }
  return [join $words ", "]
}

proc write_record { } {
  variable record
  set header [dict get $record header]
  set actions [lmap row [dict get $record rows] { row_json $row }]
  set pairs [list \
    schema [json_string gsr-feedback-record] \
    schema_version 1 \
    file [json_path [dict get $record file]] \
    run_id [json_string [option $header run_id]] \
    design [json_string [option $header design]] \
    step [json_string [dict get $record step]] \
    mode [json_string [mode]] \
    refused [json_string [dict get $record refused]] \
    verdict [json_string [option $header verdict]] \
    advice [json_list [lmap line [advice $header] { json_string $line }]]]
  dict for { status count } [record_counts] {
    lappend pairs num_$status $count
  }
  if { [dict exists $record loop] } {
    lappend pairs loop [json_loop [dict get $record loop]]
  }
  lappend pairs actions "\[\n    [join $actions ",\n    "]\n  \]"
  file mkdir [dict get $record out_dir]
  write_file [file join [dict get $record out_dir] gsr_feedback.json] "[json_object $pairs]\n"
}

# What a plan tells the user to do, a line each.
proc advice { header } {
  return [lmap line [split [option $header advice] \n] {
    if { [string trim $line] eq "" } { continue }
    set line
  }]
}

# What each round of placement cost and was predicted to overflow.
proc json_loop { loop } {
  set rounds [lmap round [dict get $loop rounds] {
    set fields {}
    foreach { key name } {
      overflow predicted_overflow_tracks placement_s placement_s prediction_s prediction_s
    } {
      lappend fields "\"$name\": [json_number [option $round $key]]"
    }
    string cat "{[join $fields {, }]}"
  }]
  return "{\"kept\": [dict get $loop kept], \"rounds\": [json_list $rounds]}"
}

proc row_json { row } {
  set fields [list "\"line\": [dict get $row line]"]
  foreach name { action target layer value score status reason } {
    # as the plan spells them: percent-encoded, hence plain text
    lappend fields "\"$name\": [json_string [printable [dict get $row $name]]]"
  }
  set box [lmap name { x1 y1 x2 y2 } { json_number [dict get $row $name] }]
  if { "null" ni $box } { lappend fields "\"box_um\": [json_list $box]" }
  return "{[join $fields {, }]}"
}
}
