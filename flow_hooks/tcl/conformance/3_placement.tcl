# What steers the placers, and what does not.

claim blockage_options "create_blockage gives the object, and drops -soft when a density is given" {
  use_design floorplan
  set b [create_blockage -region [um [middle]] -max_density 60 -soft]
  expect { ![$b isSoft] } "it is soft by the option alone; setSoft is not needed any more"
  $b setSoft
  expect { [$b isSoft] && [$b getMaxDensity] == 60 } "soft [$b isSoft], density [$b getMaxDensity]"
  return "density [$b getMaxDensity], soft only after setSoft"
}

claim blockage_removed "a density blockage that was made and destroyed leaves the DEF as it was" {
  use_design placed
  set before [def_text]
  set b [create_blockage -region [um [middle]] -max_density 60]
  $b setSoft
  set between [def_text]
  ::odb::dbBlockage_destroy $b
  expect { [def_text] eq $before } "the DEF differs"
  expect { [regexp {PLACEMENT[^;]*} $between line] } "a DEF with it has no PLACEMENT blockage"
  return [regsub -all {\s+} $line " "]
}

claim blockage_refused \
  "a region outside the die, an empty one and a density above 100 are refused" {
  use_design placed
  set seen [error_of create_blockage -region { 0 0 5000 5000 } -max_density 60]
  lappend seen {*}[error_of create_blockage -region { 9 9 9 12 } -max_density 60]
  lappend seen {*}[error_of create_blockage -region { 3 3 9 9 } -max_density 101]
  expect { [llength [[block] getBlockages]] == 0 } "blockages were made"
  foreach id { ODB-1014 ODB-1011 ODB-1013 } {
    expect { [string first $id $seen] >= 0 } "no $id in $seen"
  }
  return "ODB-1014, ODB-1011, ODB-1013"
}

claim uniform_density "blockages count as used area in the uniform density" {
  use_design floorplan
  set before [::gpl::get_global_placement_uniform_density]
  set b [create_blockage -region [um [middle]] -max_density 50]
  $b setSoft
  set after [::gpl::get_global_placement_uniform_density]
  ::odb::dbBlockage_destroy $b
  set again [::gpl::get_global_placement_uniform_density]
  expect { $after > $before } "$before without, $after with"
  expect { $again == $before } "$before before, $again after it is destroyed"
  return [format "%.4f without, %.4f with, %.4f after" $before $after $again]
}

claim soft_density \
  "soft and with a density: the global placer keeps to it, the detailed placer ignores it" {
  set seen {}
  foreach density { 100 30 } {
    lappend seen [told [filled {
      use_design floorplan
      set box [middle]
      if { @density@ < 100 } {
        set b [create_blockage -region [um $box] -max_density @density@]
        $b setSoft
      }
      place
      set global [covered {*}$box]
      detailed_placement
      answer "$global [covered {*}$box]"
    } density $density]]
  }
  lassign [concat {*}$seen] free free_legal held held_legal
  set text [format "covered %.2f; density 30: %.2f, then %.2f" $free $held $held_legal]
  expect { $held < 0.75 * $free } "the global placer does not keep to it: $text"
  expect { $held_legal > 0.8 * $held } "the detailed placer empties it: $text"
  return $text
}

claim hard_partial "not soft: the detailed placer empties it, with a density too" {
  set seen [told {
    use_design floorplan
    set box [middle]
    place
    create_blockage -region [um $box] -max_density 60
    set global [covered {*}$box]
    detailed_placement
    answer "$global [covered {*}$box]"
  }]
  lassign $seen global legal
  expect { $legal < 0.02 } "covered $global, then $legal"
  return [format "covered %.2f, then %.2f" $global $legal]
}

claim full_blockage "without a density the global placer keeps out" {
  set seen [told {
    use_design floorplan
    set box [middle]
    create_blockage -region [um $box]
    place
    answer [covered {*}$box]
  }]
  expect { $seen < 0.1 } "covered $seen"
  return [format "covered %.3f" $seen]
}

claim too_full "too little free area is error GPL-0301, and the process can place again" {
  use_design floorplan
  set die [um [list [[[block] getDieArea] xMax] [[[block] getDieArea] yMax]]]
  set b [create_blockage -region [list 0 0 {*}$die] -max_density 30]
  $b setSoft
  set message [error_of global_placement -density 0.95]
  expect { [string first GPL-0301 $message] >= 0 } $message
  ::odb::dbBlockage_destroy $b
  ::gpl::replace_reset_cmd
  place
  set found [places]
  write_def again.def
  expect { [text_of again.def] eq [text_of global.def] } "another placement than in a new process"
  return "$message, then the same placement as without"
}

claim gentle "gentle inflation runs, and changes the placement" {
  set hpwl [told {
    use_design floorplan
    set_global_routing_layer_adjustment M2-M5 0.7
    place -routability_driven -routability_inflation_ratio_coef 0.5 \
      -routability_max_inflation_ratio 1.2
    write_def gentle.def
    answer [hpwl_um]
  }]
  expect { [text_of gentle.def] ne [text_of global.def] } "the same placement as without"
  return [format "half-perimeter wire length %.0f um" $hpwl]
}

claim incremental \
  "-incremental after a global placement places what is not placed, and moves the rest little" {
  use_design global
  set names [lrange [dict keys [places]] 0 99]
  set before [places]
  foreach name $names {
    [[block] findInst $name] setPlacementStatus NONE
  }
  place -incremental
  set after [places]
  set moves {}
  dict for { name place } $after {
    if { $name in $names } { continue }
    lassign $place x y
    lassign [dict get $before $name] old_x old_y
    lappend moves [expr { (abs($x - $old_x) + abs($y - $old_y)) / 2000.0 }]
  }
  set moves [lsort -real $moves]
  set median [lindex $moves [expr { [llength $moves] / 2 }]]
  set unplaced 0
  foreach name $names {
    if { ![[[block] findInst $name] isPlaced] } { incr unplaced }
  }
  expect { $unplaced == 0 } "$unplaced of [llength $names] insts stay unplaced"
  set most [lindex $moves end]
  set text [format "100 placed; half of the others move by less than %.1f um" $median]
  append text [format ", one by %.1f" $most]
  expect { $median < 5 } $text
  return $text
}

claim same_placement "the same input gives the same placement in another process" {
  told {
    use_design floorplan
    place
    write_def again.def
    detailed_placement
    improve_placement
    optimize_mirroring
    write_def again_placed.def
  }
  foreach { first second } { global again placed again_placed } {
    expect { [text_of $first.def] eq [text_of $second.def] } "$first.def differs"
  }
  return "two DEF files, byte by byte"
}

claim random_seed "-random_seed gives another placement, the same for the same seed" {
  foreach name { seed_a seed_b } {
    told [filled {
      use_design floorplan
      place -random_seed 7
      write_def @name@.def
    } name $name]
  }
  expect { [text_of seed_a.def] eq [text_of seed_b.def] } "the same seed, another placement"
  expect { [text_of seed_a.def] ne [text_of global.def] } "the placement without a seed"
  return "seed 7 twice"
}

claim padding "padding of an inst outlives a later -global, and ends with the process" {
  set script {
    use_design global
    set inst [lindex [[block] getInsts] 500]
    @pad@
    detailed_placement
    set box [$inst getBBox]
    set gap 1000
    foreach other [[block] getInsts] {
      if { [$other getName] eq [$inst getName] } { continue }
      set at [$other getBBox]
      if { [$at yMin] >= [$box yMax] || [$at yMax] <= [$box yMin] } { continue }
      set left [expr { [$box xMin] - [$at xMax] }]
      set right [expr { [$at xMin] - [$box xMax] }]
      set gap [expr { min($gap, max($left, $right) / 400) }]
    }
    answer $gap
  }
  # the one inst by its object, then all by the command that the flow calls later
  set pad { dpl::set_padding_inst $inst 6 6; set_placement_padding -global -left 0 -right 0 }
  set with [told [filled $script pad $pad]]
  set without [told [filled $script pad ""]]
  expect { $with >= 6 } "the nearest neighbour is $with sites away"
  expect { $without < 6 } "without padding it is $without sites away as well"
  return "nearest neighbour $with sites away, in a new process $without"
}

claim padding_by_name \
  "set_placement_padding takes names as patterns, and an unknown one is an error" {
  use_design global
  set message [error_of set_placement_padding -instances no_such_inst -left 1 -right 1]
  ::set_placement_padding -instances * -left 0 -right 0
  return $message
}

claim placed_again "in one process, placing again from the same start gives the same placement" {
  use_design floorplan
  use_gsr
  set start [::gsr::save_places]
  set before [def_text]
  place
  set first [def_text]
  ::gsr::restore_places $start
  expect { [def_text] eq $before } "the start is not put back"
  place
  expect { [def_text] eq $first } "another placement the second time"
  expect { $first eq [text_of global.def] } "another placement than in a process of its own"
  return "[string length $first] bytes of DEF, twice"
}

claim pins_again "place_pins runs on a finished placement, and its ports can be put back" {
  use_design placed
  use_gsr
  set start [::gsr::save_places]
  set before [def_text]
  place_pins -hor_layers M3 -ver_layers M4
  set after [def_text]
  expect { $after ne $before } "no port moves"
  ::gsr::restore_places $start
  expect { [sorted_lines [def_text]] eq [sorted_lines $before] } "the ports are not put back"
  return "ports moved, and the same DEF after"
}
