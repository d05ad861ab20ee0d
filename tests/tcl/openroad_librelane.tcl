# A stand-in for the program `openroad`, as LibreLane calls it: its own scripts run, on commands
# that record their calls. An .odb is a DEF file here.
#
#   tclsh openroad_librelane.tcl -exit -no_splash -metrics out.json script.tcl
#
# STUB_FLOORPLAN: the DEF that a floorplan is; STUB_PLACED: what a placement leaves; STUB_CALLS:
# where the calls are noted; STUB_FAILURES: how many placements fail first.

source [file join [file dirname [file normalize [info script]]] openroad_stub.tcl]

namespace eval ::stub {
variable text ""
# what was in force during the last placement; noted in every .odb
variable num_blockages_placed 0

proc read_text { path } {
  set channel [open $path r]
  set text [read $channel]
  close $channel
  return $text
}

proc load_def { path } {
  variable text
  variable design
  variable dbu
  variable die
  variable insts
  set text [regsub -all -line {^#.*\n} [read_text $path] ""]
  regexp -line {^DESIGN (\S+)} $text _ design
  regexp -line {^UNITS DISTANCE MICRONS (\d+)} $text _ dbu
  set box {\( *(-?\d+) +(-?\d+) *\)}
  regexp "DIEAREA +$box +$box" $text _ x1 y1 x2 y2
  set die [list $x1 $y1 $x2 $y2]
  set insts {}
  foreach { _ name status } [regexp -all -inline -line \
    {^ *- (\S+) \S+ .*\+ (FIXED|PLACED|UNPLACED)} [components $text]] {
    add_inst $name [expr { $status eq "FIXED" }] [expr { $status ne "UNPLACED" }]
  }
}

proc components { text } {
  set start [string first "\nCOMPONENTS " $text]
  return [string range $text $start [string first "\nEND COMPONENTS" $text $start]]
}

proc librelane_block { method args } {
  switch -- $method {
    getNets { return {} }
    getCoreArea { return ::die }
  }
  return [block $method {*}$args]
}

proc librelane_tech { method args } {
  variable layers
  if { $method eq "getLayers" } {
    return [lmap name [dict keys $layers] { string cat ::layer_ $name }]
  }
  return [tech $method {*}$args]
}

proc librelane_layer { name method } {
  variable layers
  switch -- $method {
    getRoutingLevel { return [expr { [lsearch -exact [dict keys $layers] $name] + 1 }] }
    getType { return ROUTING }
  }
  return [layer $name $method]
}

proc database { method } {
  return [dict get { getChip ::chip getTech ::tech getLibs ::library } $method]
}

proc library { method } {
  return [dict get { getSites ::site getMasters {} } $method]
}

proc site { method } {
  return [dict get { getName gsr45_core getWidth 400 getHeight 3200 } $method]
}

set layers {}
set adjustments {}
for { set level 1 } { $level <= 8 } { incr level } {
  dict set layers M$level [expr { $level % 2 ? "HORIZONTAL" : "VERTICAL" }]
  dict set adjustments M$level 0.0
  interp alias {} ::layer_M$level {} ::stub::librelane_layer M$level
}
foreach pin [dict keys $pins] layer { M3 M4 } {
  dict set pins $pin shape [list $layer 0 0 200 200]
}
set placement_failures [expr { [info exists ::env(STUB_FAILURES)] ? $::env(STUB_FAILURES) : 0 }]

interp alias {} ::block {} ::stub::librelane_block
interp alias {} ::tech {} ::stub::librelane_tech
interp alias {} ::database {} ::stub::database
interp alias {} ::library {} ::stub::library
interp alias {} ::site {} ::stub::site
proc chip { method } { return ::block }
interp alias {} ::chip {} ::stub::chip
}

proc ::ord::get_db { } { return ::database }
proc ::odb::dbInst_getName { inst } { return [$inst getName] }
proc ::sta::scenes { } { return {} }

# as LibreLane calls it: with an array for the flags, and a unique beginning is enough
rename ::sta::parse_key_args ::stub::parse_keys
proc ::sta::parse_key_args { command arguments_var keys_var keys args } {
  upvar 1 $arguments_var arguments $keys_var values
  if { [llength $args] == 1 } {
    return [::stub::parse_keys $command arguments values $keys [lindex $args 0]]
  }
  lassign $args flags_var flags
  upvar 1 $flags_var found
  set arguments [lmap word $arguments {
    set full [lsearch -inline -all [concat $keys $flags] $word*]
    expr { [string match -* $word] && [llength $full] == 1 ? [lindex $full 0] : $word }
  }]
  ::stub::parse_keys $command arguments values $keys $flags
  foreach flag $flags {
    if { [info exists values($flag)] } { set found($flag) 1 }
  }
}

proc read_db { path } {
  stub::note read_db $path
  stub::load_def $path
}

proc link_design { name } {
  stub::note link_design $name
  stub::load_def $::env(STUB_FLOORPLAN)
}

proc write_db { path } {
  write_text $path "# placed under $stub::num_blockages_placed blockages\n$stub::text"
}

proc write_def { path } {
  stub::note write_def $path
  write_text $path $stub::text
}

proc write_verilog { args } { write_text [lindex $args end] "module $stub::design (); endmodule" }

proc write_sdc { args } { write_text [lindex $args end] "# no constraints" }

rename global_placement stub::recording_placement
proc global_placement { args } {
  set result [stub::recording_placement {*}$args]
  set stub::num_blockages_placed [llength $stub::blockages]
  stub::load_def $::env(STUB_PLACED)
  return $result
}

rename set_global_routing_layer_adjustment stub::set_one_adjustment
proc set_global_routing_layer_adjustment { layer value } {
  if { $layer ne "*" } { return [stub::set_one_adjustment $layer $value] }
  foreach name [dict keys $stub::layers] {
    stub::set_one_adjustment $name $value
  }
}

proc set_routing_layers { args } {
  sta::parse_key_args set_routing_layers args keys { -signal -clock } {}
  set names [dict keys $stub::layers]
  set stub::routing_range [lmap name [split $keys(-signal) -] {
    expr { [lsearch -exact $names $name] + 1 }
  }]
}

proc global_route { args } {
  stub::note global_route {*}$args
  stub::note adjustments_in_force {*}[dict values $stub::adjustments]
}

# what LibreLane's scripts call besides, without an effect here
foreach name {
  define_corners read_liberty read_sdc set_dont_use set_dont_touch unset_dont_touch
  all_clocks set_propagated_clock unset_propagated_clock set_macro_extension
  estimate_parasitics set_wire_rc set_layer_rc add_global_connection global_connect
  report_design_area_metrics report_cell_usage read_lef read_verilog initialize_floorplan
  insert_tiecells make_tracks place_pins set_pin_thick_multiplier utl::metric write_guide
  remove_fillers detailed_placement optimize_mirroring check_placement
} {
  interp alias {} $name {} stub::note $name
}

set script [lindex $argv end]
set code [catch { source $script } result details]
if { [info exists ::env(STUB_CALLS)] } {
  stub::dump $::env(STUB_CALLS).[pid]
}
if { $code } {
  puts "FAILED: $result\n[dict get $details -errorinfo]"
  exit 1
}
