# OpenROAD's window, on a screen that nobody sees.

claim heatmap "gui::dump_heatmap without a window" {
  needs_gui
  use_design routed
  ::gui::dump_heatmap Routing heat.csv
  expect { [file isfile heat.csv] } "it writes nothing"
  set first [lindex [split [text_of heat.csv] \n] 0]
  expect { [string match "x0,y0,x1,y1,value*" $first] } $first
  return $first
}

claim heatmap_grid "its rows are our gcells, column by column; its value is usage of capacity" {
  needs_gui
  use_design routed
  set grid [[block] getGCellGrid]
  set boxes [gcell_boxes [$grid getGridX] [$grid getGridY]]
  foreach way { HORIZONTAL VERTICAL } {
    set rows [dumped_heatmap [string totitle $way]]
    expect { [llength $rows] == [llength $boxes] } "[llength $rows] rows, [llength $boxes] gcells"
    foreach row $rows box $boxes {
      lassign $box ix iy corners
      foreach seen [lrange $row 0 3] corner $corners {
        # the dump has four digits
        expect { abs($seen - $corner) <= 5e-4 * $corner } "gcell $ix $iy: $row, not $corners"
      }
      lassign [gcell_sums $grid $way $ix $iy] capacity usage
      set wanted [expr { 100.0 * $usage / $capacity }]
      expect { abs([lindex $row 4] - $wanted) < 1e-3 } "gcell $ix $iy: $row, not $wanted"
    }
  }
  return "[llength $boxes] gcells in both directions"
}

claim window "openroad -gui runs a script in a window" {
  needs_window
  set enabled [told { answer [::gui::enabled] } -gui]
  expect { $enabled == 1 } "gui::enabled is $enabled"
  return "gui::enabled is 1, without a window [::gui::enabled]"
}

claim drc_viewer "the DRC viewer finds our category, and draws its markers" {
  needs_window
  lassign [told {
    use_design placed
    ::odb::dbMarkerCategory_fromJSON [[block] getChip] [prediction markers.json]
    foreach name { without again with } {
      if { $name eq "with" } { ::gui::select_marker_category "GSR congestion" }
      lappend pictures [picture $name]
    }
    answer [list [::gui::select Marker] {*}$pictures]
  } -gui] num_markers without again with
  expect { $num_markers == 3 } "$num_markers markers can be selected"
  expect { $without eq $again } "the same window gives two pictures"
  expect { $with ne $without } "the markers are not drawn"
  return "$num_markers markers, drawn"
}

claim heatmap_shown "gsr_show_heatmap: the window's heat map is the predicted map" {
  needs_window
  lassign [told {
    use_design placed
    set lines {}
    for { set i 0 } { $i < 20 } { incr i } { lappend lines [expr { 6000 * $i }] }
    set boxes [gcell_boxes $lines $lines]
    proc slope { ix iy } { return [expr { 0.1 + 0.07 * $ix + 0.003 * $iy }] }
    proc half { ix iy } { return 0.5 }
    write_map shown/congestion_h.csv $boxes slope
    write_map shown/congestion_v.csv $boxes half
    use_gsr
    set without [picture none]
    gsr_show_heatmap -out_dir shown -direction horizontal
    set worst 0
    foreach row [dumped_heatmap] box $boxes {
      set wanted [expr { 100 * [slope {*}[lrange $box 0 1]] }]
      set worst [expr { max($worst, abs([lindex $row 4] - $wanted)) }]
    }
    answer [list $worst [expr { [picture map] ne $without }] [catch { write_db shown.odb }] \
      [::gui::get_heatmap_double Routing DisplayMax]]
  } -gui] worst is_drawn is_refused highest
  expect { $worst < 1e-3 } "a gcell differs by $worst %"
  expect { $is_drawn } "the map is not drawn"
  expect { $is_refused && ![file exists shown.odb] } "the design can be saved"
  expect { $highest == 149 } "the colours end at $highest %"
  return "400 gcells, colours up to 149 %; write_db is refused"
}
