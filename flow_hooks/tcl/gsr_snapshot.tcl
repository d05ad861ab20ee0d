# Where insts and pins are, to be put back: a second placement starts from what the first started
# from, and the better of the two is kept.

namespace eval ::gsr {
proc save_places { } {
  return [dict create insts [inst_places] pins [pin_shapes]]
}

proc restore_places { saved } {
  restore_insts [dict get $saved insts]
  restore_pins [dict get $saved pins]
}

# Of every inst that may move: itself, its lower left corner, orientation and status, one after the
# other.
proc inst_places { } {
  set places {}
  foreach inst [[block] getInsts] {
    if { [$inst isFixed] } { continue }
    lassign [$inst getLocation] x y
    lappend places $inst $x $y [$inst getOrient] [$inst getPlacementStatus]
  }
  return $places
}

proc restore_insts { places } {
  foreach { inst x y orient status } $places {
    $inst setOrient $orient
    $inst setLocation $x $y
    $inst setPlacementStatus $status
  }
}

# The shapes of every port that may move: name -> { { status { { layer x1 y1 x2 y2 } .. } } .. }.
proc pin_shapes { } {
  set found [dict create]
  foreach port [[block] getBTerms] {
    set pins {}
    foreach pin [$port getBPins] {
      set status [$pin getPlacementStatus]
      if { $status in { FIRM LOCKED COVER } } {
        set pins {}
        break
      }
      lappend pins [list $status [box_shapes $pin]]
    }
    if { [llength $pins] > 0 } { dict set found [$port getName] $pins }
  }
  return $found
}

proc box_shapes { pin } {
  set shapes {}
  foreach box [$pin getBoxes] {
    set layer [$box getTechLayer]
    if { $layer in { NULL "" } } { continue }
    lappend shapes \
      [list [$layer getName] [$box xMin] [$box yMin] [$box xMax] [$box yMax]]
  }
  return $shapes
}

# A port has no command that moves it: its shapes are made anew.
proc restore_pins { saved } {
  set present [pin_shapes]
  set tech [::ord::get_db_tech]
  dict for { name pins } $saved {
    if { [dict exists $present $name] && [dict get $present $name] eq $pins } { continue }
    set port [[block] findBTerm $name]
    foreach pin [$port getBPins] {
      ::odb::dbBPin_destroy $pin
    }
    foreach pin $pins {
      lassign $pin status shapes
      set made [::odb::dbBPin_create $port]
      foreach shape $shapes {
        set corners [lassign $shape layer]
        ::odb::dbBox_create $made [$tech findLayer $layer] {*}$corners
      }
      $made setPlacementStatus $status
    }
  }
}
}
