# gsr's own commands and hooks in this openroad.

claim observe "observe leaves DEF and .odb of a step as they are, and predicts" {
  use_design placed
  use_kit_settings observe
  ::write_db before.odb
  set before [def_text]
  ::gsr::run_hook POST DETAIL_PLACE
  set out [file join gsr post_detail_place]
  ::write_db after.odb
  expect { [file isfile [file join $out done]] } "no prediction: [text_of [file join $out gsr.log]]"
  expect { [def_text] eq $before } "the DEF differs"
  expect { [text_of before.odb] eq [text_of after.odb] } "the .odb differs"
  foreach name { hotspots.tsv metrics.tsv markers.json insts.tsv } {
    expect { [file isfile [file join $out $name]] } "no $name"
  }
  set rows [regexp -all -line {\t} [text_of [file join $out metrics.tsv]]]
  return "$rows metrics; the same DEF and .odb"
}

claim python_missing "a Python that is missing, fails or is killed costs a warning, not the step" {
  use_design placed
  use_kit_settings observe
  set kinds [dict create \
    missing [file normalize no_python] \
    failing [fake_python failing { echo "no torch" >&2; exit 3 }] \
    killed [fake_python killed { kill -9 $$ }] \
    hanging [fake_python hanging { sleep 60 }] \
    lying [fake_python lying { exit 0 }]]
  set seen {}
  set before [def_text]
  dict for { kind program } $kinds {
    set ::env(GSR_PYTHON) $program
    set ::env(GSR_TIMEOUT) [expr { $kind eq "hanging" ? 1 : 60 }]
    set ::env(GSR_ON_ERROR) warn
    ::gsr::run_hook POST DETAIL_PLACE
    set ::env(GSR_ON_ERROR) fail
    lappend seen "$kind [error_of ::gsr::run_hook POST DETAIL_PLACE]"
    unset ::env(GSR_ON_ERROR)
  }
  expect { [def_text] eq $before } "the DEF differs"
  return "with GSR_ON_ERROR=fail: [join $seen {, }]"
}

claim advise "advise puts the hot spots of a prediction into the .odb" {
  told {
    use_design placed
    use_gsr GSR_MODE advise
    set names [list [lindex [dict keys [places]] 0] no_such_inst]
    write_text [prediction insts.tsv] "#gsr-insts 1\ninst\tcongestion\n[join $names "\t0.5\n"]\t0.5"
    answer [gsr_annotate -out_dir $::env(GSR_CLAIM_PREDICTION)]
    write_db advised.odb
  }
  use_design advised
  set found [llength [marker_boxes]]
  expect { $found == 3 } "$found markers"
  set inst [[block] findInst [lindex [dict keys [places]] 0]]
  set property [::odb::dbDoubleProperty_find $inst gsr_congestion]
  expect { $property ni { NULL "" } } "no property"
  return "$found markers, gsr_congestion [$property getValue]"
}

claim apply "apply: a plan is in force around global_placement alone" {
  use_design floorplan
  use_gsr GSR_MODE apply
  set layer [[::ord::get_db_tech] findLayer M3]
  set old [$layer getLayerAdjustment]
  set box [um [middle]]
  write_plan plan.tsv [list density_blockage "" {*}$box "" 40 1] \
    [list uniform_density "" "" "" "" "" "" 0.05 1] \
    [list layer_adjustment place "" "" "" "" M3 0.5 1]
  set result [gsr_apply_feedback -file plan.tsv -out_dir applied]
  ::global_placement -density 0.7
  gsr_clear_feedback
  set record [text_of [file join applied gsr_feedback.json]]
  expect { [regexp {"num_applied": 3} $record] } $record
  expect { [llength [[block] getBlockages]] == 0 } "blockages are left"
  expect { [$layer getLayerAdjustment] == $old } "M3 has [$layer getLayerAdjustment], not $old"
  set held [covered {*}[middle]]
  set free [told {
    use_design global
    answer [covered {*}[middle]]
  }]
  expect { $held < 0.8 * $free } "covered $held with the plan, $free without"
  return [format "3 applied; covered %.2f with the plan, %.2f without" $held $free]
}

claim apply_fails \
  "a plan that the placer cannot carry out costs nothing: the placement without it" {
  set said [told {
    use_design floorplan
    use_gsr GSR_MODE apply
    set die [[block] getDieArea]
    set box [um [list 0 0 [$die xMax] [$die yMax]]]
    write_plan full.tsv [list density_blockage "" {*}$box "" 5 1]
    gsr_apply_feedback -file full.tsv -out_dir full
    place
    write_def full.def
    answer [regexp {failed with the plan} [text_of full/gsr_feedback.json]]
  }]
  expect { $said == 1 } "the record does not say that it failed"
  expect { [text_of full.def] eq [text_of global.def] } "another placement than without"
  return "the same placement, byte by byte"
}

claim plan_refused "a plan of another design or die is refused as a whole" {
  use_design floorplan
  use_gsr GSR_MODE apply
  set before [def_text]
  write_plan other.tsv [list uniform_density "" "" "" "" "" "" 0.05 1]
  set text [string trim [text_of other.tsv]]
  write_text other.tsv [string map { design=crc_bank design=other } $text]
  set result [gsr_apply_feedback -file other.tsv -out_dir other]
  expect { [dict get $result status] eq "failed" } $result
  expect { [def_text] eq $before } "the DEF differs"
  return [dict get $result reason]
}

claim gate "gate: a metric above its limit ends the step" {
  lassign [in_new_process {
    use_design placed
    use_gsr GSR_MODE gate GSR_GATE congestion_h__max=0.5
    gsr_check_gate -out_dir $::env(GSR_CLAIM_PREDICTION)
  }] code output
  expect { $code == 1 } "exit code $code"
  expect { [regexp -line {^\[ERROR FLW-7090\].*} $output line] } [complaint $output]
  return $line
}

claim labels "the labels of a routed design are read by our Python" {
  told {
    use_design routed
    use_gsr GSR_LEFS [kit_lefs]
    gsr_export_labels -out_dir labels -grt -wire_length
  }
  set facts [python {
from pathlib import Path
from circuit_io import labels
x, y = labels.read_gcell_grid(Path("labels/gcell_grid.csv"))
print(len(x), len(y))
  }]
  expect { [file isfile labels/done.json] } "no done.json"
  return "$facts gcells"
}

claim heatmap_refused "gsr_show_heatmap refuses without a window" {
  use_design placed
  use_gsr
  set before [def_text]
  set result [gsr_show_heatmap -out_dir $::env(GSR_CLAIM_PREDICTION)]
  expect { [dict get $result status] eq "failed" } $result
  expect { [def_text] eq $before } "the DEF differs"
  return [dict get $result reason]
}

claim rounds "apply in one run: placed, predicted, planned, placed again, and the better kept" {
  use_design floorplan
  set_global_routing_layer_adjustment M2-M5 0.75
  use_kit_settings apply
  gsr_loop_placement -out_dir loop
  place
  set record [text_of [file join loop gsr_feedback.json]]
  expect { [regexp {"kept": (\d+)} $record _ kept] } [string range $record 0 300]
  set predicted [regexp -all -inline {"predicted_overflow_tracks": ([\d.]+)} $record]
  expect { [llength $predicted] == 4 } "[expr { [llength $predicted] / 2 }] predictions: $record"
  set layer [[::ord::get_db_tech] findLayer M3]
  expect { abs([$layer getLayerAdjustment] - 0.75) < 1e-6 } "M3 has [$layer getLayerAdjustment]"
  expect { [llength [[block] getBlockages]] == 0 } "blockages are left"
  foreach inst [[block] getInsts] {
    expect { [$inst isPlaced] } "[$inst getName] is not placed"
  }
  foreach port [[block] getBTerms] {
    expect { [llength [$port getBPins]] == 1 } "[$port getName] has no pin"
  }
  ::detailed_placement
  ::check_placement
  set shown [lmap { _ tracks } $predicted { format %.0f $tracks }]
  return "round $kept is kept; predicted overflow [join $shown {, }] tracks"
}
