# Reading a feedback plan: every line is checked before any command is called.
#
#   #gsr-feedback 1 design=NAME die_um=x1,y1,x2,y2 grid=nx,ny def_sha256=.. run_id=..  [rows=N]
#   action  target  x1  y1  x2  y2  layer  value  score
#
# A file that is malformed, or made for another design, is refused as a whole. A line that is well
# formed but cannot be carried out is skipped, with its reason.

namespace eval ::gsr {
variable plan_columns { action target x1 y1 x2 y2 layer value score }
variable max_plan_rows 200000
# For each action: the steps it belongs to, and the commands and options it needs.
variable actions {
  density_blockage {
    steps GLOBAL_PLACE needs { create_blockage odb::dbBlockage_destroy global_placement }
    option { create_blockage -max_density }
  }
  placement_density_addon { steps GLOBAL_PLACE needs global_placement option {} }
  routability_gentle {
    steps GLOBAL_PLACE needs global_placement
    option { global_placement -routability_max_inflation_ratio }
  }
  uniform_density {
    steps GLOBAL_PLACE needs { global_placement gpl::get_global_placement_uniform_density }
    option {}
  }
  place_pins {
    steps GLOBAL_PLACE needs { place_pins global_placement odb::dbBPin_create odb::dbBox_create }
    option {}
  }
  unplace { steps GLOBAL_PLACE needs global_placement option { global_placement -incremental } }
  region_adjustment {
    steps GLOBAL_PLACE needs set_global_routing_region_adjustment option {}
  }
  layer_adjustment {
    steps { GLOBAL_PLACE GLOBAL_ROUTE } needs set_global_routing_layer_adjustment option {}
  }
  padding { steps { DETAIL_PLACE CTS GLOBAL_ROUTE } needs {} option {} }
}

# The plan as { header .. rows { row .. } }; raises a failure when it must be refused as a whole.
proc read_plan { path block run_id } {
  variable plan_columns
  variable max_plan_rows
  set lines [read_lines $path]
  set header [read_header $path [lindex $lines 0] gsr-feedback]
  check_plan_header $path $header $block $run_id
  if { [split [lindex $lines 1] \t] ne [list {*}$plan_columns] } {
    raise_failure "$path:2: expected the columns [join $plan_columns {, }], parted by tabs."
  }
  set count [expr { [llength $lines] - 2 }]
  if { $count > $max_plan_rows } { raise_failure "$path has $count lines; at most $max_plan_rows." }
  if { [dict exists $header rows] && [dict get $header rows] ne $count } {
    raise_failure "$path has $count lines, its header says [dict get $header rows]. Write it again."
  }
  set rows {}
  set number 2
  foreach line [lrange $lines 2 end] {
    incr number
    set fields [split $line \t]
    if { [llength $fields] != [llength $plan_columns] } {
      raise_failure "$path:$number: [llength $fields] columns, expected [llength $plan_columns]."
    }
    set row [dict create line $number status "" reason ""]
    foreach name $plan_columns field $fields {
      # "-" and nothing both mean that an action has no use for the column
      if { $field eq "-" && $name ne "target" } { set field "" }
      dict set row $name $field
    }
    lappend rows $row
  }
  return [dict create header $header rows $rows]
}

# A plan is bound to the design and the die it was made for, and to a run where that is known.
proc check_plan_header { path header block run_id } {
  foreach key { design die_um } {
    if { ![dict exists $header $key] } { raise_failure "$path:1: the header lacks $key." }
  }
  set design [$block getName]
  if { [dict get $header design] ne $design } {
    raise_failure "$path is a plan for \"[dict get $header design]\", but \"$design\" is loaded."
  }
  set found [option $header run_id]
  if { $run_id ne "" && $found ne $run_id } {
    raise_failure "$path is of run \"$found\", not \"$run_id\" (does another flow use this folder?)"
  }
  set die [die_dbu $block]
  set dbu [$block getDbUnitsPerMicron]
  set planned [split [dict get $header die_um] ,]
  set same [expr { [llength $planned] == 4 }]
  foreach um $planned value $die {
    if { !$same || ![is_number $um number] } {
      set same 0
    } elseif { abs($number * $dbu - $value) > 0.51 } {
      set same 0
    }
  }
  if { !$same } {
    set um [join [lmap value $die { expr { $value / double($dbu) } }] ,]
    set planned [dict get $header die_um]
    raise_failure "$path is a plan for the die $planned, the loaded one is $um (um)."
  }
}

# --- one line ---------------------------------------------------------------------------

# Checks a line and gives it what the commands need (box_dbu, number, ...), or a status and a
# reason.
proc check_row { row context } {
  variable actions
  set action [dict get $row action]
  if { ![dict exists $actions $action] } {
    return [settle $row unsupported "no such action"]
  }
  set facts [dict get $actions $action]
  set wanted [dict get $context actions]
  if { [llength $wanted] > 0 && $action ni $wanted } {
    return [settle $row skipped "not among the actions asked for"]
  }
  if { [catch { check_$action $row $context } checked details] } {
    if { [error_kind $details] ne "FAILURE" } { return -options $details $checked }
    return [settle $row skipped $checked]
  }
  set steps [row_steps $checked [dict get $facts steps]]
  if { [dict get $context step] ne "" && [dict get $context step] ni $steps } {
    return [settle $checked skipped "belongs to [join $steps {, }]"]
  }
  set lacks [lacking $facts]
  if { $lacks ne "" } { return [settle $checked unsupported "this OpenROAD has no $lacks"] }
  return $checked
}

proc settle { row status { reason "" } } {
  dict set row status $status
  dict set row reason $reason
  return $row
}

# A layer adjustment is for the placement's own estimate unless its target says `route`.
proc row_steps { row steps } {
  if { [dict get $row action] ne "layer_adjustment" } { return $steps }
  if { [dict get $row target] eq "route" } { return GLOBAL_ROUTE }
  return GLOBAL_PLACE
}

proc lacking { facts } {
  foreach command [dict get $facts needs] {
    if { ![has_command $command] } { return $command }
  }
  lassign [dict get $facts option] command option
  if { $command ne "" && ![knows_option $command $option] } { return "$command $option" }
  return ""
}

# Whether a command takes an option, from OpenSTA's table of arguments, else from its body.
proc knows_option { command option } {
  if { [info exists ::sta::cmd_args($command)] } {
    return [expr { [string first $option $::sta::cmd_args($command)] >= 0 }]
  }
  if { $command eq "global_placement" } {
    set command [original_placement]
  }
  if { [info procs ::$command] eq "" } { return 1 }
  return [expr { [string first $option [info body ::$command]] >= 0 }]
}

proc check_density_blockage { row context } {
  dict set row number [row_number $row 0 100]
  return [row_box $row $context]
}

proc check_placement_density_addon { row context } {
  dict set row number [row_number $row 0 0.99]
  return $row
}

proc check_uniform_density { row context } {
  if { [dict get $row value] eq "" } { dict set row value 0 }
  dict set row number [row_number $row 0 0.5]
  return $row
}

proc check_routability_gentle { row context } {
  lassign [row_pair $row] coefficient ratio
  if {
    ![is_number $coefficient coefficient] || ![is_number $ratio ratio]
    || $coefficient <= 0 || $coefficient > 10 || $ratio < 1 || $ratio > 10
  } {
    raise_failure "value \"[dict get $row value]\" is not a coefficient (0-10) and a ratio (1-10)"
  }
  dict set row pair [list $coefficient $ratio]
  return $row
}

proc check_padding { row context } {
  lassign [row_pair $row] left right
  if { ![is_count $left left] || ![is_count $right right] || $left > 100 || $right > 100 } {
    raise_failure "value \"[dict get $row value]\" is not two counts of sites (0-100)"
  }
  set row [row_inst $row $context]
  # what is set for an inst replaces the padding of the flow, so it must not be less
  set floor [detail_padding]
  dict set row pair [list [expr { max($left, $floor) }] [expr { max($right, $floor) }]]
  return $row
}

# The inst that the target names.
proc row_inst { row context } {
  if { [catch { percent_decode [dict get $row target] } name] } { raise_failure $name }
  if { $name eq "" } { raise_failure "the target is empty" }
  set inst [[dict get $context block] findInst $name]
  if { $inst eq "NULL" || $inst eq "" } { raise_failure "no such inst" }
  if { [$inst isFixed] } { raise_failure "the inst is fixed" }
  dict set row name $name
  dict set row inst $inst
  return $row
}

proc check_region_adjustment { row context } {
  dict set row number [row_number $row 0 1]
  return [row_layer [row_box $row $context] $context]
}

proc check_layer_adjustment { row context } {
  if { [dict get $row target] ni { "" - place route } } {
    raise_failure "target \"[dict get $row target]\" is neither place nor route"
  }
  dict set row number [row_number $row -1 1]
  return [row_layer $row $context]
}

proc row_number { row low high } {
  set text [dict get $row value]
  if { ![is_number $text value] || $value < $low || $value > $high } {
    raise_failure "value \"$text\" is not a number from $low to $high"
  }
  return $value
}

proc row_pair { row } {
  set words [split [dict get $row value] {;}]
  if { [llength $words] != 2 } {
    raise_failure "value \"[dict get $row value]\" is not of the form a;b"
  }
  return $words
}

proc row_layer { row context } {
  if { [catch { percent_decode [dict get $row layer] } layer] } { raise_failure $layer }
  if { $layer ni [dict get $context layers] } { raise_failure "no routing layer \"$layer\"" }
  dict set row layer_name $layer
  return $row
}

# The box in database units, inside the die.
proc row_box { row context } {
  lassign [dict get $context die] die_x1 die_y1 die_x2 die_y2
  set box {}
  foreach name { x1 y1 x2 y2 } {
    set text [dict get $row $name]
    if { ![is_number $text um] } { raise_failure "$name \"$text\" is not a number" }
    lappend box [expr { round($um * [dict get $context dbu]) }]
  }
  lassign $box x1 y1 x2 y2
  if { $x1 >= $x2 || $y1 >= $y2 } { raise_failure "the box is empty or turned over" }
  if { $x1 < $die_x1 || $y1 < $die_y1 || $x2 > $die_x2 || $y2 > $die_y2 } {
    raise_failure "the box is not inside the die"
  }
  dict set row box $box
  return $row
}

# Padding that the flow gives every inst in detailed placement, in sites.
proc detail_padding { } {
  if { [is_count [setting CELL_PAD_IN_SITES_DETAIL_PLACEMENT] sites] } { return $sites }
  return 0
}
}
