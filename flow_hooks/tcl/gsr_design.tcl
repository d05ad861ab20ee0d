# The loaded design as files for Python: design.def and hook.json.

namespace eval ::gsr {
proc block { } {
  if { ![has_command ord::get_db_block] } { return NULL }
  if { [catch { ::ord::get_db_block } block] || $block eq "" } { return NULL }
  return $block
}

proc require_block { } {
  set block [block]
  if { $block eq "NULL" } { raise_failure "no design is loaded." }
  return $block
}

# --- files of the flow ------------------------------------------------------------------

proc existing_files { words } {
  set found {}
  foreach word $words {
    if { ![file isfile $word] } { continue }
    set path [file normalize $word]
    if { $path ni $found } { lappend found $path }
  }
  return $found
}

# The LEF files of the flow, or those that OpenROAD writes when the flow names none (or not all
# are there).
proc lef_files { options out_dir } {
  set words [path_words [option $options lef]]
  if { [llength $words] == 0 } { set words [setting_paths GSR_LEFS] }
  if { [llength $words] == 0 } {
    foreach name { TECH_LEF SC_LEF ADDITIONAL_LEFS } {
      lappend words {*}[setting_paths $name]
    }
    if { [setting AUTO_MEMORIES] eq "1" && [setting RESULTS_DIR] ne "" } {
      set memories [file join [setting RESULTS_DIR] memories]
      lappend words {*}[lsort [glob -nocomplain -directory $memories *.lef]]
    }
  }
  set found [existing_files $words]
  set distinct [lsort -unique [lmap word $words { file normalize $word }]]
  if { [llength $found] > 0 && [llength $found] == [llength $distinct] } { return $found }
  if { [llength $words] > 0 } {
    say 7004 "Not every LEF file that the flow names exists; write_lef writes what is loaded."
  }
  return [write_lefs $out_dir]
}

# `write_lef` writes one file per library: design.lef, design_1.lef, ...
proc write_lefs { out_dir } {
  if { ![has_command write_lef] } { raise_failure "no LEF file is known: name them with -lef." }
  file delete {*}[glob -nocomplain -directory $out_dir design.lef design_*.lef]
  ::write_lef [file join $out_dir design.lef]
  set written [glob -nocomplain -directory $out_dir design.lef design_*.lef]
  if { [llength $written] == 0 } { raise_failure "write_lef wrote nothing." }
  return [lsort -dictionary $written]
}

proc lib_files { options } {
  set words [path_words [option $options lib]]
  if { [llength $words] == 0 } { set words [setting_paths GSR_LIBS] }
  if { [llength $words] == 0 } { set words [setting_paths LIB_FILES] }
  if { [llength $words] == 0 } {
    foreach corner [setting_words CORNERS] {
      lappend words {*}[setting_paths [string toupper $corner]_LIB_FILES]
      lappend words {*}[setting_paths ${corner}_LIB_FILES]
    }
  }
  return [existing_files $words]
}

# The RTL with its macros and folders of includes: what is named for us (private.mk names what the
# flow synthesised, since the flow hides it from its later steps), else what the flow names.
proc rtl_pairs { options } {
  set words [path_words [option $options rtl]]
  if { [llength $words] == 0 } { set words [setting_paths GSR_RTL] }
  if { [llength $words] == 0 } { set words [setting_paths VERILOG_FILES] }
  set files [existing_files $words]
  if { [llength $files] == 0 } { return {} }
  set folders {}
  foreach word [path_words [setting GSR_RTL_INCLUDE [setting VERILOG_INCLUDE_DIRS]]] {
    if { [file isdirectory $word] } { lappend folders [file normalize $word] }
  }
  set defines {}
  set named [setting GSR_RTL_DEFINES [setting VERILOG_DEFINES]]
  foreach word [regexp -all -inline {\S+} $named] {
    set word [regsub {^-D} $word ""]
    if { $word ne "" } { lappend defines $word }
  }
  return [list \
    rtl [json_list [lmap path $files { json_path $path }]] \
    rtl_include [json_list [lmap path $folders { json_path $path }]] \
    rtl_defines [json_list [lmap word $defines { json_string $word }]]]
}

# Paths of a setting: one path that exists (it may hold blanks), or several that blanks part.
proc setting_paths { name } {
  return [path_words [setting $name]]
}

proc path_words { text } {
  if { $text eq "" } { return {} }
  if { [file isfile $text] } { return [list $text] }
  if { [string first \{ $text] >= 0 && ![catch { llength $text }] } { return [lrange $text 0 end] }
  return [regexp -all -inline {\S+} $text]
}

# --- what the database says -------------------------------------------------------------

# The die as x1 y1 x2 y2 in database units.
proc die_dbu { block } {
  set die [$block getDieArea]
  return [list [$die xMin] [$die yMin] [$die xMax] [$die yMax]]
}

proc die_um { block } {
  set dbu [$block getDbUnitsPerMicron]
  return [lmap value [die_dbu $block] { expr { $value / double($dbu) } }]
}

# True when some component of a DEF is placed and may move: a prediction needs one. (Asking the
# database would make a Tcl command of every inst.)
proc has_placement { def } {
  set channel [open $def rb]
  set is_inside 0
  set text ""
  try {
    while { ![eof $channel] } {
      # the end of the piece before, in case a word was cut in two
      set text [string range $text end-31 end][read $channel 1048576]
      if { !$is_inside } {
        set start [string first "\nCOMPONENTS " $text]
        if { $start < 0 } { continue }
        set is_inside 1
        set text [string range $text $start end]
      }
      set end [string first "\nEND COMPONENTS" $text]
      set placed [string first "+ PLACED" $text]
      if { $placed >= 0 && ($end < 0 || $placed < $end) } { return 1 }
      if { $end >= 0 } { return 0 }
    }
  } finally {
    close $channel
  }
  return 0
}

proc tool_version { } {
  foreach command { ord::openroad_version ord::openroad_git_describe } {
    if { [has_command $command] && ![catch { ::$command } version] } { return $version }
  }
  return ""
}

# --- the export -------------------------------------------------------------------------

proc do_export_design { options } {
  return [export_design [chosen_out_dir $options] [facts_from_options $options] $options]
}

# Writes design.def and hook.json into out_dir; returns { status out_dir hook run_id }.
proc export_design { out_dir facts options } {
  set block [require_block]
  file mkdir $out_dir
  # a process that was killed leaves a whole DEF
  foreach left [glob -nocomplain -directory $out_dir design.*.tmp.def] {
    set owner [lindex [split [file tail $left] .] 1]
    if { [file isdirectory /proc/[pid]] && ![file isdirectory /proc/$owner] } { file delete $left }
  }
  set temporary [file join $out_dir design.[pid].tmp.def]
  try {
    ::write_def $temporary
    file rename -force $temporary [file join $out_dir design.def]
  } finally {
    catch { file delete $temporary }
  }
  set run_id [new_run_id]
  set hook [file join $out_dir hook.json]
  write_file $hook "[hook_json $block $run_id $out_dir $facts $options]\n"
  return [dict create status ok out_dir $out_dir hook $hook run_id $run_id]
}

proc hook_json { block run_id out_dir facts options } {
  lassign [routing_layers] names adjustments
  set signal [signal_layers $block $names]
  warn_of_clock_layers $block $names $signal
  set design [$block getName]
  set pairs [list \
    schema [json_string gsr-hook] \
    schema_version 1 \
    run_id [json_string $run_id] \
    stage [json_string [dict get $facts stage]] \
    step [json_string [dict get $facts step]] \
    when [json_string [dict get $facts when]] \
    metrics_stage [json_string [dict get $facts metrics_stage]] \
    metrics_file [json_string [dict get $facts metrics_file]] \
    mode [json_string [mode]] \
    design [json_string $design] \
    family [json_string [setting GSR_FAMILY [setting DESIGN_NICKNAME $design]]] \
    platform [json_string [setting PLATFORM]] \
    dbu_per_um [json_number [$block getDbUnitsPerMicron]] \
    die_um [json_list [lmap value [die_um $block] { json_number $value }]] \
    def [json_path [file join $out_dir design.def]] \
    lefs [json_list [lmap path [lef_files $options $out_dir] { json_path $path }]] \
    libs [json_list [lmap path [lib_files $options] { json_path $path }]]]
  lappend pairs {*}[optional_files $facts $options $out_dir]
  if { [llength $signal] == 2 } {
    lappend pairs signal_layers [json_list [lmap name $signal { json_string $name }]]
  }
  set layers {}
  dict for { name value } [layer_adjustments $names $adjustments $signal] {
    lappend layers $name [json_real $value]
  }
  lappend pairs layer_adjustment [json_object $layers "  "]
  lappend pairs {*}[placement_settings]
  lappend pairs tool_version [json_string [tool_version]]
  lappend pairs hook_version [json_string $::gsr::version]
  return [json_object $pairs]
}

# verilog, sdc and rtl, where they are known.
proc optional_files { facts options out_dir } {
  set pairs {}
  set verilog [option $options verilog]
  set wants [expr { [dict exists $options with_verilog] || [setting GSR_WITH_VERILOG] eq "1" }]
  if { $verilog eq "" && $wants } {
    set verilog [file join $out_dir design.v]
    ::write_verilog $verilog
  }
  if { $verilog ne "" } { lappend pairs verilog [json_path [file normalize $verilog]] }
  set sdc [option $options sdc]
  if { $sdc eq "" && [setting RESULTS_DIR] ne "" && [dict get $facts sdc] ne "" } {
    set sdc [file join [setting RESULTS_DIR] [dict get $facts sdc]]
  }
  if { $sdc eq "" } { set sdc [setting SDC_FILE] }
  if { [file isfile $sdc] } { lappend pairs sdc [json_path [file normalize $sdc]] }
  lappend pairs {*}[rtl_pairs $options]
  set access [setting GSR_ACCESS_POINTS]
  if { [file isfile $access] } {
    lappend pairs access_points [json_path [file normalize $access]]
  } elseif { $access ne "" } {
    warn_once 7045 "GSR_ACCESS_POINTS: \"$access\" is no file: pins are where their shapes\
      have their middles."
  }
  return $pairs
}

# What the planner must know of the flow's own placement settings.
proc placement_settings { } {
  set padding {}
  foreach { key name } {
    global_placement CELL_PAD_IN_SITES_GLOBAL_PLACEMENT
    detail_placement CELL_PAD_IN_SITES_DETAIL_PLACEMENT
  } {
    if { [is_count [setting $name] sites] } { lappend padding $key $sites }
  }
  set pairs [list padding_sites [json_object $padding "  "]]
  foreach name { PLACE_DENSITY PLACE_DENSITY_LB_ADDON } {
    if { [is_number [setting $name] value] } {
      lappend pairs [string tolower $name] [json_number $value]
    }
  }
  if { [setting ENABLE_DPO] in { 0 1 } } {
    lappend pairs improve_placement [expr { [setting ENABLE_DPO] ? "true" : "false" }]
  }
  if { [is_number [setting GSR_WORST_SLACK_NS] slack_ns] } {
    lappend pairs worst_slack_ns [json_number $slack_ns]
  }
  if { [routability_mode] ne "" } {
    lappend pairs routability_driven [json_string [routability_mode]]
  }
  return $pairs
}

# Of ORFS's global placement: off, default, gentle (small steps), or nothing where it is not known.
proc routability_mode { } {
  set words [regexp -all -inline {[^\s{}\"]+} [setting GLOBAL_PLACEMENT_ARGS]]
  set is_on [expr { [setting GPL_ROUTABILITY_DRIVEN] eq "1" || "-routability_driven" in $words }]
  if { $is_on && [is_number [last_value $words -routability_max_inflation_ratio] ratio] } {
    if { $ratio <= 1.5 } { return gentle }
  }
  if { $is_on } { return default }
  if { [setting GPL_ROUTABILITY_DRIVEN] ne "" } { return off }
  return ""
}
}
