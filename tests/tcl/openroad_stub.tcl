# Recording stand-ins for the commands of OpenROAD and OpenSTA that our Tcl calls.
#
# They check their arguments as the real ones do, they know a small made-up design, and they note
# every call in ::stub::calls, so that a test can say what was done to the design and what was not.

namespace eval ::stub {
variable calls {}
variable design top
variable dbu 1000
variable die { 0 0 100000 80000 }
variable layers { metal1 HORIZONTAL metal2 VERTICAL metal3 HORIZONTAL metal4 VERTICAL }
variable adjustments { metal1 0.0 metal2 0.30000001192092896 metal3 0.30000001192092896 metal4 0.5 }
variable routing_range { 2 4 }
variable clock_top -1
# name -> { fixed placed handle }, and where they are: name -> { x y orient }
variable insts {}
variable places {}
# ports: name -> { status layer x1 y1 x2 y2 }
variable ports { p { PLACED metal3 0 0 200 100 } q { PLACED metal4 500 0 600 200 } }
variable num_pins 0
variable pins {}
variable blockages {}
variable num_made 0
variable properties {}
variable has_block 1
# how often these still fail
variable placement_failures 0
variable pin_failures 0
variable grid { x { 0 50000 } y { 0 40000 } }

proc note { args } {
  variable calls
  lappend calls $args
  return ""
}

proc percent { text } {
  set out ""
  foreach byte [split [encoding convertto utf-8 $text] ""] {
    if { [regexp {[A-Za-z0-9_.:,/+-]} $byte] } {
      append out $byte
    } else {
      scan $byte %c code
      append out [format "%%%02X" $code]
    }
  }
  return $out
}

# One call a line, its words percent-encoded and parted by tabs.
proc dump { path } {
  variable calls
  set channel [open $path w]
  foreach call $calls {
    puts $channel [join [lmap word $call { percent $word }] \t]
  }
  close $channel
}

proc add_inst { name { fixed 0 } { placed 1 } } {
  variable insts
  variable places
  set handle ::inst_[expr { [dict size $insts] + 1 }]
  dict set insts $name [list $fixed $placed $handle]
  dict set places $name { 10 10 R0 }
  interp alias {} $handle {} ::stub::inst $name
  return $handle
}

proc handle_of { name } {
  variable insts
  return [lindex [dict get $insts $name] 2]
}

proc inst { name method args } {
  variable insts
  variable places
  lassign [dict get $insts $name] fixed placed handle
  lassign [dict get $places $name] x y orient
  switch -- $method {
    getName { return $name }
    isFixed { return $fixed }
    isPlaced { return $placed }
    isBlock { return [string match *macro* $name] }
    getLocation { return [list $x $y] }
    getOrient { return $orient }
    getPlacementStatus { return [expr { $fixed ? "FIRM" : $placed ? "PLACED" : "NONE" }] }
    setLocation { return [dict set places $name [list {*}$args $orient]] }
    setOrient { return [dict set places $name [list $x $y {*}$args]] }
    setPlacementStatus {
      if { $fixed } { error ODB-0359 }
      note setPlacementStatus $name {*}$args
      return [dict set insts $name [list 0 [expr { $args eq "PLACED" }] $handle]]
    }
  }
  error "Invalid method $method for dbInst"
}

# What the placer does to insts that may move: a place for each, by the blockages that stand.
proc place_insts { incremental } {
  variable insts
  variable places
  variable blockages
  dict for { name state } $insts {
    lassign $state fixed placed handle
    if { $fixed || ($incremental && $placed) } { continue }
    lassign [dict get $places $name] x y
    dict set places $name \
      [list [expr { $x + 100 }] [expr { 1000 + 50 * [llength $blockages] }] R0]
    dict set insts $name [list 0 1 $handle]
  }
}

proc port { name method } {
  variable pins
  switch -- $method {
    getName { return $name }
    getBPins {
      return [lmap pin [dict keys $pins] {
        if { [dict get $pins $pin port] ne $name } { continue }
        set pin
      }]
    }
  }
  error "Invalid method $method for dbBTerm"
}

# A pin of a port, and its one box, under one handle.
proc pin { handle method args } {
  variable pins
  lassign [dict get $pins $handle shape] layer x1 y1 x2 y2
  switch -- $method {
    getPlacementStatus { return [dict get $pins $handle status] }
    setPlacementStatus { return [dict set pins $handle status {*}$args] }
    getBoxes { return [list $handle] }
    getTechLayer { return ::layer_$layer }
    xMin { return $x1 }
    yMin { return $y1 }
    xMax { return $x2 }
    yMax { return $y2 }
  }
  error "Invalid method $method for dbBPin"
}

proc add_pin { port status shape } {
  variable pins
  variable num_pins
  set handle ::pin_[incr num_pins]
  dict set pins $handle [dict create port $port status $status shape $shape]
  interp alias {} $handle {} ::stub::pin $handle
  return $handle
}

proc port_shapes { } {
  variable pins
  return [lmap pin [dict values $pins] { dict values $pin }]
}

proc block { method args } {
  variable design
  variable dbu
  variable insts
  variable blockages
  variable routing_range
  variable grid
  switch -- $method {
    getName { return $design }
    getChip { return ::chip }
    getDbUnitsPerMicron { return $dbu }
    getDieArea { return ::die }
    getMinRoutingLayer { return [lindex $routing_range 0] }
    getMaxRoutingLayer { return [lindex $routing_range 1] }
    getMaxLayerForClock { return $::stub::clock_top }
    getBlockages { return $blockages }
    getInsts { return [lmap name [dict keys $insts] { handle_of $name }] }
    getBTerms { return [lmap name [dict keys $::stub::ports] { string cat ::port_ $name }] }
    findBTerm { return ::port_[lindex $args 0] }
    findInst {
      # a name is a name here: no pattern, no escape
      set name [lindex $args 0]
      note findInst $name
      if { [dict exists $insts $name] } { return [handle_of $name] }
      return NULL
    }
    getGCellGrid {
      if { $grid eq "" } { return NULL }
      return ::gcell_grid
    }
  }
  error "Invalid method $method for dbBlock"
}

proc die_area { method } {
  variable die
  set at [lsearch -exact { xMin yMin xMax yMax } $method]
  if { $at < 0 } { error "Invalid method $method for Rect" }
  return [lindex $die $at]
}

proc tech { method args } {
  variable layers
  variable dbu
  switch -- $method {
    getDbUnitsPerMicron { return $dbu }
    getRoutingLayerCount { return [dict size $layers] }
    findRoutingLayer {
      set name [lindex [dict keys $layers] [expr { [lindex $args 0] - 1 }]]
      return [expr { $name eq "" ? "NULL" : "::layer_$name" }]
    }
    findLayer {
      set name [lindex $args 0]
      return [expr { [dict exists $layers $name] ? "::layer_$name" : "NULL" }]
    }
  }
  error "Invalid method $method for dbTech"
}

proc layer { name method } {
  variable layers
  variable adjustments
  switch -- $method {
    getName { return $name }
    getDirection { return [dict get $layers $name] }
    getLayerAdjustment { return [dict get $adjustments $name] }
    getRoutingLevel { return [expr { [lsearch -exact [dict keys $layers] $name] + 1 }] }
  }
  error "Invalid method $method for dbTechLayer"
}

proc blockage { handle method args } {
  note $method $handle {*}$args
  if { $method ni { setSoft setMaxDensity } } { error "Invalid method $method for dbBlockage" }
}

proc gcell_grid { method args } {
  variable grid
  switch -- $method {
    getGridX { return [dict get $grid x] }
    getGridY { return [dict get $grid y] }
    getCapacity { return 12.0 }
    getUsage { return [expr { [lindex $args 1] + 2.0 * [lindex $args 2] }] }
  }
  error "Invalid method $method for dbGCellGrid"
}

proc property { handle method args } {
  note property_$method $handle {*}$args
}

# What OpenSTA does with a command it does not know: a unique beginning is completed.
proc unknown { args } {
  set found [uplevel #0 [list info commands [lindex $args 0]*]]
  if { [llength $found] == 1 } { return [uplevel 1 [lreplace $args 0 0 {*}$found]] }
  if { [llength $found] > 1 } { error "Ambiguous command name \"[lindex $args 0]\": $found." }
  return [uplevel 1 [list ::unknown {*}$args]]
}

interp alias {} ::block {} ::stub::block
interp alias {} ::die {} ::stub::die_area
interp alias {} ::tech {} ::stub::tech
interp alias {} ::gcell_grid {} ::stub::gcell_grid
foreach name [dict keys $layers] {
  interp alias {} ::layer_$name {} ::stub::layer $name
}
dict for { name shape } $ports {
  interp alias {} ::port_$name {} ::stub::port $name
  set shape [lassign $shape status]
  add_pin $name $status $shape
}
}

{*}[list namespace unknown ::stub::unknown]

namespace eval ::ord {
proc get_db_block { } {
  if { $::stub::has_block } { return ::block }
  return NULL
}
proc get_db_tech { } { return ::tech }
proc openroad_version { } { return 26Q3-stub }
}

namespace eval ::utl {
# tclint-disable-next-line redefined-builtin
proc info { tool id text } { puts "\[INFO $tool-[format %04d $id]\] $text" }
proc warn { tool id text } { puts "\[WARNING $tool-[format %04d $id]\] $text" }
# tclint-disable-next-line redefined-builtin
proc error { tool id text } {
  puts "\[ERROR $tool-[format %04d $id]\] $text"
  ::error "$tool-[format %04d $id]"
}
proc metric_integer { name value } { ::stub::note metric_integer $name $value }
proc metric_float { name value } { ::stub::note metric_float $name $value }
}

namespace eval ::sta {
variable cmd_args
proc define_cmd_args { command arguments } {
  variable cmd_args
  set cmd_args($command) $arguments
}
proc stop { id text } {
  puts "\[ERROR STA-$id\] $text"
  error STA-$id
}
# the keys and flags of a command; the last value of a repeated key wins
proc parse_key_args { command arguments_var keys_var keys flags } {
  upvar 1 $arguments_var arguments
  upvar 1 $keys_var values
  set rest {}
  while { [llength $arguments] > 0 } {
    set arguments [lassign $arguments word]
    if { $word in $keys } {
      if { [llength $arguments] == 0 } { ::sta::stop 0560 "$command $word missing value." }
      set arguments [lassign $arguments values($word)]
    } elseif { $word in $flags } {
      set values($word) 1
    } elseif { [regexp {^-[a-zA-Z]} $word] } {
      ::sta::stop 0562 "$command $word is not a known keyword or flag."
    } else {
      lappend rest $word
    }
  }
  set arguments $rest
}
proc check_argc_eq0 { command arguments } {
  if { [llength $arguments] > 0 } { stop 0564 "$command positional arguments not supported." }
}
# in single precision
proc time_ui_sta { value } {
  binary scan [binary format f [expr { $value * 1e-9 }]] f seconds
  return $seconds
}
}

namespace eval ::gpl {
# half full, and fuller with every blockage
proc get_global_placement_uniform_density { args } {
  ::stub::note get_global_placement_uniform_density {*}$args
  return [expr { min(0.95, 0.5 + 0.1 * [llength $::stub::blockages]) }]
}
proc replace_reset_cmd { } { ::stub::note replace_reset_cmd }
}

namespace eval ::dpl {
proc set_padding_inst { inst left right } {
  ::stub::note set_padding_inst [$inst getName] $left $right
}
}

namespace eval ::odb {
proc dbBlockage_destroy { blockage } {
  ::stub::note dbBlockage_destroy $blockage
  set at [lsearch -exact $::stub::blockages $blockage]
  if { $at < 0 } { error "no such blockage" }
  set ::stub::blockages [lreplace $::stub::blockages $at $at]
}
proc dbBPin_destroy { pin } {
  ::stub::note dbBPin_destroy $pin
  dict unset ::stub::pins $pin
}
proc dbBPin_create { port } {
  set name [$port getName]
  ::stub::note dbBPin_create $name
  return [::stub::add_pin $name NONE { metal1 0 0 0 0 }]
}
proc dbBox_create { pin layer x1 y1 x2 y2 } {
  dict set ::stub::pins $pin shape [list [$layer getName] $x1 $y1 $x2 $y2]
}
proc dbMarkerCategory_fromJSON { chip path } {
  if { $chip ne "::chip" } { error "expected a dbChip" }
  if { ![file isfile $path] } { error ODB-0031 }
  ::stub::note dbMarkerCategory_fromJSON $chip $path
}
proc dbMarkerCategory_fromTR { chip name path } {
  if { $chip ne "::chip" } { error "expected a dbChip" }
  ::stub::note dbMarkerCategory_fromTR $chip $name $path
}
proc dbDoubleProperty_find { object name } {
  if { [dict exists $::stub::properties $object $name] } { return ::property }
  return NULL
}
proc dbDoubleProperty_create { object name value } {
  ::stub::note dbDoubleProperty_create [$object getName] $name $value
  dict set ::stub::properties $object $name $value
}
}
interp alias {} ::property {} ::stub::property ::property

sta::define_cmd_args global_placement \
  {-density -incremental -routability_driven -routability_inflation_ratio_coef \
    -routability_max_inflation_ratio}
proc global_placement { args } {
  set given $args
  set keys_known { -density -pad_left -pad_right -min_phi_coef -max_phi_coef -random_seed }
  lappend keys_known -routability_inflation_ratio_coef -routability_max_inflation_ratio
  lappend keys_known -init_wirelength_coef -routability_check_overflow -keep_resize_below_overflow
  set flags { -routability_driven -timing_driven -skip_io -force_center_initial_place }
  lappend flags -skip_initial_place -incremental
  sta::parse_key_args global_placement args keys $keys_known $flags
  sta::check_argc_eq0 global_placement $args
  stub::note global_placement {*}$given
  stub::note blockages_in_force [llength $stub::blockages]
  if { $stub::placement_failures > 0 } {
    incr stub::placement_failures -1
    error GPL-0301
  }
  stub::place_insts [expr { "-incremental" in $given }]
  return placed
}

# Every port that may move goes to the place of the first inst.
proc place_pins { args } {
  set given $args
  sta::parse_key_args place_pins args keys { -hor_layers -ver_layers -min_distance } {}
  sta::check_argc_eq0 place_pins $args
  stub::note place_pins {*}$given
  if { $stub::pin_failures > 0 } {
    incr stub::pin_failures -1
    dict unset stub::pins ::pin_1
    error PPL-0024
  }
  set x [lindex [dict values $stub::places] 0 0]
  dict for { pin state } $stub::pins {
    if { [dict get $state status] ne "PLACED" } { continue }
    set layer [lindex $keys(-ver_layers) 0]
    dict set stub::pins $pin shape [list $layer $x 0 [expr { $x + 100 }] 200]
  }
}

sta::define_cmd_args create_blockage { -region box [-inst i] [-max_density d] [-soft] }
proc create_blockage { args } {
  sta::parse_key_args create_blockage args keys { -region -inst -max_density } { -soft }
  sta::check_argc_eq0 create_blockage $args
  set box [lmap um $keys(-region) { expr { round($um * $stub::dbu) } }]
  lassign $box x1 y1 x2 y2
  lassign $stub::die die_x1 die_y1 die_x2 die_y2
  if { $x1 >= $x2 || $y1 >= $y2 } { error ODB-1011 }
  if { $x1 < $die_x1 || $y1 < $die_y1 || $x2 > $die_x2 || $y2 > $die_y2 } { error ODB-1014 }
  if { $keys(-max_density) < 0 || $keys(-max_density) > 100 } { error ODB-1013 }
  set handle ::blockage_[incr stub::num_made]
  interp alias {} $handle {} ::stub::blockage $handle
  lappend stub::blockages $handle
  stub::note create_blockage {*}$box $keys(-max_density)
  return $handle
}

proc set_global_routing_region_adjustment { args } {
  sta::parse_key_args set_global_routing_region_adjustment args keys { -layer -adjustment } {}
  if { [llength $args] != 1 || [llength [lindex $args 0]] != 4 } { error GRT-0050 }
  if { ![dict exists $stub::layers $keys(-layer)] } { error GRT-0005 }
  # the real one cuts off what is below a database unit
  set box [lmap um [lindex $args 0] { expr { int($um * $stub::dbu) } }]
  lassign $stub::die die_x1 die_y1 die_x2 die_y2
  foreach value $box low [list $die_x1 $die_y1 $die_x1 $die_y1] \
    high [list $die_x2 $die_y2 $die_x2 $die_y2] id { 0064 0065 0066 0067 } {
      if { $value < $low || $value > $high } { error GRT-$id }
    }
  stub::note set_global_routing_region_adjustment {*}$box $keys(-layer) $keys(-adjustment)
}

proc set_global_routing_layer_adjustment { layer value } {
  if { ![dict exists $stub::layers $layer] } { error GRT-0005 }
  stub::note set_global_routing_layer_adjustment $layer $value
  # the database holds single precision
  binary scan [binary format f $value] f held
  dict set stub::adjustments $layer $held
  return ""
}

# Instances are patterns here, as in OpenSTA: an unknown one is an error.
proc set_placement_padding { args } {
  sta::parse_key_args set_placement_padding args keys { -instances -left -right } { -global }
  if { [info exists keys(-instances)] } {
    foreach pattern $keys(-instances) {
      set found [lsearch -all -inline -glob [dict keys $stub::insts] $pattern]
      if { [llength $found] == 0 } { sta::stop 0127 "instance '$pattern' not found." }
      stub::note padding_by_pattern $pattern {*}$found
    }
  }
  stub::note set_placement_padding {*}[array get keys]
}

proc write_text { path text } {
  if { ![file isdirectory [file dirname $path]] } {
    error "Failed to open '$path.1' for writing"
  }
  set channel [open $path wb]
  puts $channel $text
  close $channel
}

proc write_def { path } {
  stub::note write_def $path
  set text "VERSION 5.8 ;\nDESIGN $stub::design ;\nCOMPONENTS [dict size $stub::insts] ;\n"
  dict for { name state } $stub::insts {
    lassign $state fixed placed
    set status [lindex { UNPLACED PLACED FIXED } [expr { $fixed ? 2 : $placed }]]
    append text "    - $name INV_X1 + $status ( [lrange [dict get $stub::places $name] 0 1] ) N ;\n"
  }
  append text "END COMPONENTS\nPINS [llength $stub::ports] ;\n"
  foreach shape [stub::port_shapes] {
    append text "    - [join $shape] ;\n"
  }
  append text "END PINS\nEND DESIGN"
  write_text $path [encoding convertto utf-8 $text]
}

proc write_lef { path } {
  stub::note write_lef $path
  write_text $path "VERSION 5.8 ;\nEND LIBRARY"
  write_text [file rootname $path]_1.lef "VERSION 5.8 ;\nEND LIBRARY"
}

proc write_verilog { path } {
  stub::note write_verilog $path
  write_text $path "module top (); endmodule"
}

proc read_db { path } { stub::note read_db $path }

proc suppress_message { tool id } { stub::note suppress_message $tool $id }
proc unsuppress_message { tool id } { stub::note unsuppress_message $tool $id }

proc write_guides { path } {
  stub::note write_guides $path
  write_text $path "n1\n(\n0 0 100000 40000 metal3\n)"
}

proc report_wire_length { args } {
  sta::parse_key_args report_wire_length args keys { -net -file } { -global_route -detailed_route }
  stub::note report_wire_length {*}[array get keys]
  write_text $keys(-file) "tool net total_wl #pins \ngrt: n1 5.7 2"
}

sta::define_cmd_args find_timing_paths { [-path_delay max] [-group_path_count n] }
proc find_timing_paths { args } {
  stub::note find_timing_paths {*}$args
  return { path_a path_b path_a }
}

proc get_property { object name } {
  switch -- "$object $name" {
    "path_a endpoint" { return pin_a }
    "path_b endpoint" { return pin_b }
    "path_a slack" { return -0.0815354 }
    "path_b slack" { return INF }
    "pin_a full_name" { return {out,[15]} }
    "pin_b full_name" { return out_b }
    "path_a endpoint_clock" { return clock_1 }
    "clock_1 full_name" { return core_clk }
  }
  error "no property $name of $object"
}
