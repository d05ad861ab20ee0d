# The router: its maps, what adjustments do, and what lasts.

claim report_is_grid "usage above capacity in the gcell grid is the overflow of the report" {
  set script {
    use_design placed
    set_global_routing_layer_adjustment M2-M5 0.75
    route -verbose
    puts "overflow: [overflow [gcells]]"
  }
  lassign [in_new_process $script] code output
  expect { [regexp -line {^overflow: (\S+)} $output _ ours] } "exit code $code: [complaint $output]"
  expect { [regexp -line {^Total .*/ +(\d+)$} $output line theirs] } "no line Total in the report"
  expect { $ours == $theirs && $theirs > 0 } "$ours by the grid, $theirs by the report"
  return $line
}

claim reduction \
  "an adjustment takes capacity - max(floor(capacity (1 - a)), 1) tracks of every edge" {
  set seen {}
  foreach adjustment { 0.2 0.35 } {
    lappend seen [told [filled {
      use_design placed
      set_global_routing_layer_adjustment M2-M5 @adjustment@
      route
      set below 0
      set equal 0
      dict for { _ pair } [gcells] {
        lassign $pair capacity usage
        set rest [expr { $usage - [reduction $capacity @adjustment@] }]
        if { $rest < 0 } { incr below }
        if { $rest == 0 } { incr equal }
      }
      answer "$below $equal"
    } adjustment $adjustment]]
  }
  foreach pair $seen {
    lassign $pair below equal
    expect { $below == 0 } "$below edges have less usage than that"
    expect { $equal > 0 } "no edge has just that"
  }
  return "edges with less, with just that: [join $seen {, }]"
}

claim same_route "the same input gives the same route in another process" {
  use_design routed
  set first [gcells]
  set second [told {
    use_design placed
    route
    answer [gcells]
  }]
  expect { $first eq $second } "the usage differs"
  return "[dict size $first] edges"
}

claim def_is_enough "a process that reads LEF and DEF alone routes as the one that placed" {
  use_design routed
  set first [gcells]
  set second [told {
    read_kit
    read_def placed.def
    set_layers
    route
    answer [gcells]
  }]
  expect { $first eq $second } "overflow [overflow $first] and [overflow $second], or usage differs"
  return "[dict size $first] edges"
}

claim no_liberty "Liberty and constraints make no difference to the router's map" {
  use_design routed
  set first [gcells]
  set second [told {
    read_liberty [file join $kit gsr45_typ.lib]
    use_design placed
    read_sdc [file join $kit crc_bank.sdc]
    route
    answer [gcells]
  }]
  expect { $first eq $second } "the usage differs"
  return "[dict size $first] edges"
}

claim usage_limit "no usage above 255 is told" {
  use_design routed
  set most 0
  dict for { _ pair } [gcells] { set most [expr { max($most, [lindex $pair 1]) }] }
  expect { $most <= 255 } "$most"
  return "at most $most here"
}

claim region_ring "the outermost tiles of a region on gcell edges get the adjustment turned over" {
  # 8 x 8 gcells about the middle; the tracks taken from M3, row by row from outside to inside, in
  # a design without wires there
  set script {
    use_design placed
    foreach net [lrange [[block] getNets] 1 end] { odb::dbNet_destroy $net }
    set_global_routing_layer_adjustment M2-M5 0.0
    set box [list [expr { 5 * 6000 - @grow@ }] [expr { 5 * 6000 - @grow@ }] \
      [expr { 13 * 6000 + @grow@ }] [expr { 13 * 6000 + @grow@ }]]
    set region [lmap value $box { expr { ($value + 0.25) / 2000.0 } }]
    set_global_routing_region_adjustment $region -layer M3 -adjustment 0.2
    route
    set map [gcells]
    set taken {}
    foreach iy { 4 5 6 8 } {
      lappend taken [expr { int([lindex [dict get $map M3,9,$iy] 1]) }]
    }
    answer $taken
  }
  set on_edges [told [filled $script grow 0]]
  set grown [told [filled $script grow 1]]
  set text "of 15 tracks in rows 4, 5, 6, 8: $on_edges on gcell edges, $grown grown by 1 dbu"
  lassign $on_edges _ first inner
  lassign $grown _ grown_first grown_inner
  expect { $inner >= 3 && $inner <= 4 } "inside 20 % of 15 tracks: $text"
  expect { $first > 2 * $inner } "the ring is not turned over any more: $text"
  expect { $grown_first == $grown_inner } "growing by 1 dbu does not help: $text"
  return $text
}

claim region_refused "a region outside the die and an unknown layer are refused" {
  use_design placed
  set box { 3 3 12 12 }
  set seen [error_of set_global_routing_region_adjustment { 3 3 900 12 } -layer M3 -adjustment 0.2]
  append seen " " [error_of set_global_routing_region_adjustment $box -layer M33 -adjustment 0.2]
  set box { 3 3 12 }
  append seen " " [error_of set_global_routing_region_adjustment $box -layer M3 -adjustment 0.2]
  foreach id { GRT-0066 GRT-0005 GRT-0050 } {
    expect { [string first $id $seen] >= 0 } "no $id in $seen"
  }
  return $seen
}

claim region_steers "region adjustments reach the placer's inflation" {
  set seen {}
  foreach adjustment { 0.0 0.9 } {
    lassign [in_new_process [filled {
      use_design floorplan
      set_global_routing_layer_adjustment M2-M5 0.6
      foreach layer { M2 M3 M4 M5 } {
        if { @a@ == 0 } { break }
        set_global_routing_region_adjustment [um [middle]] -layer $layer -adjustment @a@
      }
      place -routability_driven -routability_inflation_ratio_coef 0.5 \
        -routability_max_inflation_ratio 1.2
    } a $adjustment]] code output
    expect { $code == 0 } "exit code $code: [complaint $output]"
    set lines [regexp -all -inline -line {^\[INFO GPL-0\d+\] .*[Cc]ongest.*$} $output]
    lappend seen [join $lines { / }]
  }
  lassign $seen without with
  expect { $without ne "" } "the placer says nothing of it"
  expect { $without ne $with } "the same log with and without: $with"
  return "without: [string range $without 0 160] with: [string range $with 0 160]"
}

claim adjustments_last \
  "layer adjustments and routing layers last in the .odb, region adjustments do not" {
  told {
    use_design placed
    set_global_routing_layer_adjustment M3 0.5
    set_routing_layers -signal M2-M4
    set_global_routing_region_adjustment [um [middle]] -layer M3 -adjustment 0.9
    write_db adjusted.odb
  }
  use_design adjusted
  set layer [[::ord::get_db_tech] findLayer M3]
  set range [list [[block] getMinRoutingLayer] [[block] getMaxRoutingLayer]]
  expect { abs([$layer getLayerAdjustment] - 0.5) < 1e-6 } "M3 [$layer getLayerAdjustment]"
  expect { $range eq { 2 4 } || $range eq "2 4" } "layers $range"
  route
  set most 0
  set nx [llength [[[block] getGCellGrid] getGridX]]
  dict for { edge pair } [gcells] {
    if { [string match M3,* $edge] } { lappend usages [lindex $pair 1] }
  }
  set least [lindex [lsort -real $usages] 0]
  set inside [lmap edge { M3,9,9 M3,9,10 M3,10,9 } { lindex [dict get [gcells] $edge] 1 }]
  set limit [expr { [reduction [lindex [dict get [gcells] M3,9,9] 0] 0.9] }]
  expect { [tcl::mathfunc::min {*}$inside] < $limit } "usage $inside in the region: it has lasted"
  return "M3 [$layer getLayerAdjustment], layers $range, usage in the region [join $inside]"
}

claim adjustment_back "a layer adjustment that was changed and put back leaves the .odb as it was" {
  use_design placed
  ::write_db before.odb
  set layer [[::ord::get_db_tech] findLayer M3]
  set old [$layer getLayerAdjustment]
  ::set_global_routing_layer_adjustment M3 0.5
  ::set_global_routing_layer_adjustment M3 $old
  ::write_db after.odb
  expect { [text_of before.odb] eq [text_of after.odb] } "the .odb differs"
  return "M3 $old"
}

claim wire_length \
  "report_wire_length writes a row per net, silently when its messages are suppressed" {
  set script {
    use_design placed
    route
    suppress_message GRT 237
    suppress_message GRT 241
    puts "start"
    report_wire_length -net * -global_route -file wires.csv
    puts "end"
    unsuppress_message GRT 237
    unsuppress_message GRT 241
  }
  lassign [in_new_process $script] code output
  expect { $code == 0 } "exit code $code: [complaint $output]"
  set said [string range $output [string first start $output] [string first end $output]]
  expect { [llength [split $said \n]] <= 3 } "it says [string range $said 0 200]"
  set rows [regexp -all -line {^grt: \S+ [\d.]+ \d+$} [text_of wires.csv]]
  expect { $rows > 500 } "$rows rows, the file begins [string range [text_of wires.csv] 0 200]"
  return "$rows rows"
}

claim guides "write_guides writes a block per net" {
  use_design placed
  route
  needs_command write_guides
  ::write_guides net.guide
  set nets [regexp -all -line {^\($} [text_of net.guide]]
  expect { $nets > 500 } "$nets nets"
  return "$nets nets"
}

claim congestion_report \
  "-congestion_report_file is written when something overflows, and only then" {
  set script {
    use_design placed
    set_global_routing_layer_adjustment M2-M5 @a@
    route -congestion_report_file @file@
  }
  told [filled $script a 0.2 file none.rpt]
  told [filled $script a 0.75 file some.rpt]
  expect { ![file exists none.rpt] } "none.rpt is written"
  set text [text_of some.rpt]
  set records [regexp -all -line {^violation type: (Horizontal|Vertical) congestion} $text]
  expect { $records > 0 } [string range $text 0 200]
  return "$records records"
}

claim path_order \
  "find_timing_paths gives the worst path of each endpoint, slack in the units of the library" {
  variable kit
  ::read_liberty [file join $kit gsr45_typ.lib]
  use_design placed
  ::read_sdc [file join $kit crc_bank.sdc]
  ::set_wire_rc -signal -layer M3
  ::estimate_parasitics -placement
  set slacks {}
  foreach path [::find_timing_paths -path_delay max -group_path_count 10000] {
    set pin [::get_property [::get_property $path endpoint] full_name]
    lappend slacks [::get_property $path slack]
    set clock [::get_property [::get_property $path endpoint_clock] full_name]
  }
  expect { [llength $slacks] > 100 } "[llength $slacks] paths"
  expect { $slacks eq [lsort -real $slacks] } "not worst first"
  set unit [expr { [::sta::time_ui_sta 1.0] * 1e9 }]
  return "[llength $slacks] paths, worst [lindex $slacks 0], unit $unit ns, $pin of $clock"
}
