# What the prediction says, in the design's database (markers, properties), in the log and as a
# gate.

namespace eval ::gsr {
variable max_properties 100000
variable marker_category "GSR congestion"

# --- gsr_annotate -----------------------------------------------------------------------

proc do_annotate { options } {
  set out_dir [prediction_dir_of $options]
  set wants_markers [dict exists $options markers]
  set wants_properties [dict exists $options properties]
  if { !$wants_markers && !$wants_properties } {
    set wants_markers 1
    set wants_properties 1
  }
  return [annotate $out_dir [option $options file] [option $options category] $wants_markers \
    $wants_properties]
}

# -out_dir, or GSR_PREDICTION_DIR, or where gsr_predict writes.
proc prediction_dir_of { options } {
  if { [option $options out_dir] ne "" } { return [file normalize [option $options out_dir]] }
  return [prediction_dir [default_out_dir]]
}

proc annotate { out_dir file category wants_markers wants_properties } {
  set result [dict create status ok markers "" properties ""]
  if { [mode] ni { advise apply } } {
    say 7015 "GSR_MODE is [mode]: the design is not annotated."
    set reason "skipped(GSR_MODE is [mode])"
    return [dict create status ok markers $reason properties $reason]
  }
  set block [require_block]
  if { $wants_markers } { dict set result markers [add_markers $block $out_dir $file $category] }
  if { $wants_properties } {
    set found [add_properties $block $out_dir]
    if { ![string match applied* $found] } { say 7019 "No properties: $found" }
    dict set result properties $found
  }
  return $result
}

# Reads the JSON form where OpenROAD can, else the TR form. A category of the same name is
# replaced.
proc add_markers { block out_dir file category } {
  variable marker_category
  if { $category eq "" } { set category $marker_category }
  set candidates [list [file join $out_dir markers.json] [file join $out_dir markers.rpt]]
  if { $file ne "" } { set candidates [list [file normalize $file]] }
  set reason "skipped(no marker file in $out_dir)"
  foreach path $candidates {
    if { ![file isfile $path] } { continue }
    if { [file extension $path] eq ".json" } {
      set command odb::dbMarkerCategory_fromJSON
      set arguments [list $path]
    } else {
      set command odb::dbMarkerCategory_fromTR
      set arguments [list $category $path]
    }
    if { ![has_command $command] } {
      set reason "unsupported(this OpenROAD has no $command)"
      continue
    }
    # a window would go on drawing what is selected of the markers that are replaced, and crash
    if { [has_command gui::enabled] && [::gui::enabled] } { ::gui::clear_selections }
    if { ![catch { with_owner $block $command $arguments } message] } {
      say 7016 "Markers of [file tail $path] are in the design."
      return applied
    }
    set reason "skipped($message)"
  }
  if { ![string match "skipped(no marker file*" $reason] } { alert 7038 "No markers: $reason" }
  return $reason
}

# Newer versions keep markers on the chip, older ones on the block.
proc with_owner { block command arguments } {
  set owner $block
  catch { set owner [$block getChip] }
  if { ![catch { ::$command $owner {*}$arguments } result] } { return $result }
  if { $owner eq $block } { error $result }
  if { [catch { ::$command $block {*}$arguments } _] } { error $result }
}

# The property gsr_congestion of each inst, from insts.tsv; it travels in the .odb.
proc add_properties { block out_dir } {
  variable max_properties
  set path [file join $out_dir insts.tsv]
  if { ![file isfile $path] } { return "skipped(no insts.tsv)" }
  if { ![has_command odb::dbDoubleProperty_create] } {
    return "unsupported(this OpenROAD has no odb::dbDoubleProperty_create)"
  }
  set rows [read_table $path gsr-insts { inst congestion }]
  if { [llength $rows] > $max_properties } {
    return "skipped([llength $rows] insts; above $max_properties properties are slow)"
  }
  set count 0
  foreach row $rows {
    if { [catch { percent_decode [dict get $row inst] } name] } { continue }
    if { ![is_number [dict get $row congestion] value] } { continue }
    set inst [$block findInst $name]
    if { $inst in { NULL "" } } { continue }
    set property [::odb::dbDoubleProperty_find $inst gsr_congestion]
    if { $property in { NULL "" } } {
      ::odb::dbDoubleProperty_create $inst gsr_congestion $value
    } else {
      $property setValue $value
    }
    incr count
  }
  return "applied($count of [llength $rows])"
}

# A table: `#schema 1 ..`, a line of column names, rows. Returns dicts; there may be more
# columns than `names`.
proc read_table { path schema names } {
  set lines [read_lines $path]
  read_header $path [lindex $lines 0] $schema
  set columns [split [lindex $lines 1] \t]
  foreach name $names {
    if { $name ni $columns } { raise_failure "$path:2: no column $name." }
  }
  set rows {}
  set number 2
  foreach line [lrange $lines 2 end] {
    incr number
    set fields [split $line \t]
    if { [llength $fields] != [llength $columns] } {
      raise_failure "$path:$number: [llength $fields] columns, expected [llength $columns]."
    }
    set row [dict create]
    foreach name $columns field $fields {
      dict set row $name $field
    }
    lappend rows $row
  }
  return $rows
}

# --- gsr_report_prediction --------------------------------------------------------------

proc do_report_prediction { options } {
  set file [option $options file]
  if { $file eq "" } { set file [file join [prediction_dir_of $options] hotspots.tsv] }
  if { ![is_count [option $options worst 10] worst] } { set worst 10 }
  set text [prediction_report $file $worst]
  puts $text
  return $text
}

proc prediction_report { file worst } {
  set names { rank direction x1 y1 x2 y2 congestion top_nets }
  set rows [read_table $file gsr-hotspots $names]
  if { [llength $rows] == 0 } { return "No predicted hot spots." }
  set lines [list [format "%4s  %-10s %10s  %-42s  %s" rank direction congestion "box (um)" nets]]
  foreach row [lrange $rows 0 [expr { $worst - 1 }]] {
    set box "([shown $row x1], [shown $row y1]) - ([shown $row x2], [shown $row y2])"
    lappend lines [format "%4s  %-10s %10s  %-42s  %s" [shown $row rank] [shown $row direction] \
      [shown $row congestion] $box [shown $row top_nets]]
    if { [dict exists $row top_modules] && [dict get $row top_modules] ne "" } {
      lappend lines [format "%4s  modules: %s" "" [shown $row top_modules]]
    }
  }
  set more [expr { [llength $rows] - $worst }]
  if { $more > 0 } { lappend lines "$more more in $file" }
  return [join [lmap line $lines { printable [string trimright $line] }] \n]
}

proc shown { row name } {
  set text [dict get $row $name]
  if { [string first % $text] >= 0 && ![catch { percent_decode $text } name] } { return $name }
  return $text
}

# --- gsr_check_gate ---------------------------------------------------------------------

proc do_check_gate { options } {
  set file [option $options file]
  if { $file eq "" } { set file [file join [prediction_dir_of $options] metrics.tsv] }
  set limits {}
  foreach { kind value } [option $options pairs] {
    set expected [expr { [llength $limits] % 2 ? "max" : "metric" }]
    if { $kind ne $expected } {
      raise_stop 7060 "gsr_check_gate: -$kind where -$expected is expected."
    }
    lappend limits $value
  }
  if { [llength $limits] % 2 } { raise_stop 7060 "gsr_check_gate: -metric needs a -max after it." }
  if { [llength $limits] == 0 } { set limits [gate_limits] }
  return [check_gate $file $limits]
}

# GSR_GATE="congestion_h__max=1.2 overflow__expected=100" as { name limit ... }.
proc gate_limits { } {
  set limits {}
  foreach word [setting_words GSR_GATE] {
    set at [string first = $word]
    if { $at < 1 } { raise_failure "GSR_GATE: \"$word\" is not of the form metric=max." }
    lappend limits [string range $word 0 [expr { $at - 1 }]] \
      [string range $word [expr { $at + 1 }] end]
  }
  return $limits
}

# Returns 1 when every metric is within its limit. In gate mode a metric beyond it ends the step.
proc check_gate { file limits } {
  if { [llength $limits] == 0 } {
    warn_once 7039 "No limits for the gate: set GSR_GATE, e.g. GSR_GATE=congestion_h__max=1.2"
    return 1
  }
  set metrics [read_pairs $file]
  set beyond {}
  foreach { name limit } $limits {
    if { ![is_number $limit max] } { raise_failure "\"$limit\" is no limit for $name." }
    set value [metric_value $metrics $name]
    if { ![is_number $value number] } { raise_failure "$name is not a number in $file." }
    if { $number > $max } { lappend beyond "$name is $value, above $limit" }
  }
  if { [llength $beyond] == 0 } {
    say 7017 "The gate is passed: [expr { [llength $limits] / 2 }] metrics within their limits."
    return 1
  }
  set text "The gate is closed: [join $beyond {; }]."
  if { [mode] eq "gate" } { raise_stop 7090 $text }
  alert 7040 $text
  return 0
}

# By the whole key, or by what follows `__gsr__` in it.
proc metric_value { metrics name } {
  if { [dict exists $metrics $name] } { return [dict get $metrics $name] }
  set found {}
  dict for { key value } $metrics {
    set at [string first __gsr__ $key]
    if { $at >= 0 && [string range $key [expr { $at + 7 }] end] eq $name } { lappend found $value }
  }
  if { [llength $found] != 1 } {
    set known [join [dict keys $metrics] ", "]
    raise_failure "[llength $found] metrics \"$name\" in the prediction; there are $known"
  }
  return [lindex $found 0]
}

# --- gsr_version ------------------------------------------------------------------------

proc do_version { options } {
  variable version
  set capabilities [dict create]
  foreach command {
    create_blockage odb::dbBlockage_destroy set_global_routing_region_adjustment
    set_global_routing_layer_adjustment dpl::set_padding_inst
    gpl::get_global_placement_uniform_density odb::dbMarkerCategory_fromJSON
    odb::dbMarkerCategory_fromTR odb::dbDoubleProperty_create report_wire_length write_lef
  } {
    dict set capabilities $command [has_command $command]
  }
  return [dict create version $version tcl [info patchlevel] openroad [tool_version] \
    python [lindex [python_command] 0] capabilities $capabilities]
}
}
