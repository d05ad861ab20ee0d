# Labels: what the router really did, in the files that training reads.
#
#   placed.def       the placement that was routed
#   gcell_grid.csv   axis,index,coord_dbu                       lower-left edges of the gcells
#   gcell_usage.csv  layer,direction,ix,iy,capacity,usage       edges to the right / above; tracks
#   route.guide      guides of write_guides                     which nets run where, for reports
#   wire_length.csv  rows of report_wire_length                 grt: net total_um pins, or drt:
#   endpoints_grt.csv  pin,slack_ns,clock                       with the parasitics in force
#   congestion.rpt, route_drc.rpt                               OpenROAD's own reports, copied
#   access_points.csv  master,orient,pin,x_um,y_um,layer         after pin_access, for exports
#   done.json        parameters; written last
#
# Capacity and usage both contain the reduction by blockages and adjustments. The column
# `reduction` is left out: OpenROAD does not tell it, and with a power grid or macros it cannot be
# derived from the other two.

namespace eval ::gsr {
proc do_export_labels { options } {
  set kinds {}
  foreach kind { grt wire_length timing drc } {
    if { [dict exists $options $kind] } { lappend kinds $kind }
  }
  if { [llength $kinds] == 0 } { set kinds [label_kinds] }
  set out_dir [option $options out_dir]
  if { $out_dir eq "" } { set out_dir [file join [default_out_dir] labels] }
  return [export_labels [file normalize $out_dir] $kinds grt]
}

# GSR_LABELS: some of grt wire_length timing drc; 1 or all for all, 0 or none for none.
proc label_kinds { } {
  set words [lmap word [setting_words GSR_LABELS "grt wire_length drc"] { string tolower $word }]
  if { $words in { 0 none off no } } { return {} }
  if { $words in { 1 all on yes } } { return [list grt wire_length timing drc] }
  set kinds {}
  foreach word $words {
    if { $word in { grt wire_length timing drc } } {
      lappend kinds $word
    } else {
      warn_once 7041 "GSR_LABELS: \"$word\" is not one of grt, wire_length, timing, drc."
    }
  }
  return $kinds
}

# Writes what there is; what is lacking is told in done.json. `route` is grt or route, what has just
# been made, or odb: the database of a finished run.
proc export_labels { out_dir kinds route } {
  set block [require_block]
  file mkdir $out_dir
  # none of an earlier route
  foreach name { done.json route_drc.rpt } { file delete [file join $out_dir $name] }
  set states {}
  foreach kind $kinds {
    if { [catch { labels_$kind $block $out_dir $route } state details] } {
      if { [error_kind $details] eq "STOP" } {
        return -options $details $state
      }
      set state "skipped($state)"
    }
    lappend states $kind $state
    if { $state ne "written" } { say 7009 "Labels: $kind: $state" }
  }
  set access [file join $out_dir access_points.csv]
  file delete $access
  if { $route ne "place" && [catch { write_access_points $block $access } message] } {
    say 7009 "Labels: access points: $message"
  }
  write_file [file join $out_dir done.json] "[labels_json $block $states]\n"
  return [dict create status ok out_dir $out_dir {*}$states]
}

proc labels_json { block states } {
  lassign [routing_layers] names adjustments
  set layers {}
  dict for { name value } $adjustments {
    lappend layers $name [json_real $value]
  }
  set files {}
  foreach { kind state } $states {
    lappend files $kind [json_string [printable $state]]
  }
  set design [$block getName]
  return [json_object [list \
    schema [json_string gsr-labels] \
    schema_version 1 \
    tech [json_string [setting PLATFORM]] \
    design [json_string $design] \
    family [json_string [setting GSR_FAMILY [setting DESIGN_NICKNAME $design]]] \
    signal_layers [json_list [lmap n [signal_layers $block $names] { json_string $n }]] \
    layer_adjustment [json_object $layers "  "] \
    router [json_string "OpenROAD global_route"] \
    openroad [json_string [tool_version]] \
    reduction [json_string "left out: the database does not hold it"] \
    labels [json_object $files "  "]]]
}

proc labels_grt { block out_dir route } {
  set grid [$block getGCellGrid]
  if { $grid in { NULL "" } } { return "skipped(no gcell grid: run global_route first)" }
  set xs [$grid getGridX]
  set ys [$grid getGridY]
  set text "axis,index,coord_dbu\n"
  foreach axis { x y } coordinates [list $xs $ys] {
    set index -1
    foreach coordinate $coordinates {
      append text "$axis,[incr index],$coordinate\n"
    }
  }
  write_file [file join $out_dir gcell_grid.csv] $text
  ::write_def [file join $out_dir placed.def]
  write_usage $block $grid [llength $xs] [llength $ys] [file join $out_dir gcell_usage.csv]
  set guides [file join $out_dir route.guide]
  file delete $guides
  if { [has_command write_guides] } { ::write_guides $guides }
  return written
}

proc write_usage { block grid nx ny path } {
  set tech [::ord::get_db_tech]
  set temporary $path.[pid].tmp
  set channel [open $temporary wb]
  try {
    puts $channel "layer,direction,ix,iy,capacity,usage"
    foreach name [signal_names $block] {
      set layer [$tech findLayer $name]
      set start "$name,[$layer getDirection]"
      for { set iy 0 } { $iy < $ny } { incr iy } {
        for { set ix 0 } { $ix < $nx } { incr ix } {
          set capacity [$grid getCapacity $layer $ix $iy]
          puts $channel "$start,$ix,$iy,$capacity,[$grid getUsage $layer $ix $iy]"
        }
      }
    }
    close $channel
    file rename -force $temporary $path
  } finally {
    catch { close $channel }
    catch { file delete $temporary }
  }
}

# One message per net would drown the log: they are suppressed meanwhile. Asking for routes also
# makes the router read those of a loaded database.
proc labels_wire_length { block out_dir route } {
  if { ![has_command report_wire_length] } { return "unsupported(no report_wire_length)" }
  set flag -global_route
  if { $route eq "route" } {
    set flag -detailed_route
  } elseif { [has_command grt::have_routes] && ![::grt::have_routes] } {
    return "skipped(no global route)"
  }
  set path [file join $out_dir wire_length.csv]
  set quiet { 237 240 241 }
  if { ![has_command suppress_message] || ![has_command unsuppress_message] } { set quiet {} }
  foreach id $quiet { ::suppress_message GRT $id }
  try {
    ::report_wire_length -net * $flag -file $path
  } finally {
    foreach id $quiet { ::unsuppress_message GRT $id }
  }
  if { ![file isfile $path] } { return "skipped(report_wire_length wrote nothing)" }
  return written
}

proc labels_timing { block out_dir route } {
  foreach command { find_timing_paths get_property } {
    if { ![has_command $command] } { return "unsupported(no $command)" }
  }
  # a database holds routes, and no parasitics of them
  if { $route eq "odb" } { ::estimate_parasitics -global_routing }
  set scale [time_unit_ns]
  set text "pin,slack_ns,clock\n"
  set seen [dict create]
  foreach path [timing_paths] {
    set pin [::get_property [::get_property $path endpoint] full_name]
    if { [dict exists $seen $pin] } { continue }
    dict set seen $pin 1
    if { ![is_number [::get_property $path slack] slack] } { continue }
    set clock ""
    catch { set clock [::get_property [::get_property $path endpoint_clock] full_name] }
    append text "[csv_field $pin],[format %.6f [expr { $slack * $scale }]],[csv_field $clock]\n"
  }
  set when [expr { $route eq "place" ? "place" : "grt" }]
  write_file [file join $out_dir endpoints_$when.csv] [encoding convertto utf-8 $text]
  return written
}

# The worst path of every endpoint; the option's name changed in 2024.
proc timing_paths { } {
  set most 1000000
  if { [knows_option find_timing_paths -group_path_count] } {
    return [::find_timing_paths -path_delay max -group_path_count $most]
  }
  return [::find_timing_paths -path_delay max -group_count $most]
}

proc time_unit_ns { } {
  if { [has_command sta::time_ui_sta] } { return [expr { [::sta::time_ui_sta 1.0] * 1e9 }] }
  return 1.0
}

proc csv_field { text } {
  if { ![regexp {[,"\n\r]} $text] } { return $text }
  return "\"[string map { \" \"\" } $text]\""
}

proc labels_drc { block out_dir route } {
  set reports [setting REPORTS_DIR]
  if { $reports eq "" } { return "skipped(REPORTS_DIR is not set)" }
  set copied 0
  foreach { from to } { congestion.rpt congestion.rpt 5_route_drc.rpt route_drc.rpt } {
    set source [file join $reports $from]
    file delete [file join $out_dir $to]
    if { ![file isfile $source] } { continue }
    if { $from eq "5_route_drc.rpt" && ![is_of_route $source $route] } { continue }
    file copy -force $source [file join $out_dir $to]
    incr copied
  }
  if { $copied == 0 } { return "skipped(no report: nothing overflowed)" }
  return written
}

# Whether a report of the detailed router is of the route that is labelled, not of an earlier one.
proc is_of_route { report route } {
  if { $route ne "odb" } { return [expr { $route eq "route" }] }
  set odb [setting GSR_ODB]
  return [expr { [file isfile $odb] && [file mtime $report] >= [file mtime $odb] }]
}
}
