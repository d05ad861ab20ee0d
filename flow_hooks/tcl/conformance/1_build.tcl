# The program itself: Tcl, messages, metrics, processes.

claim version "it tells its version" {
  set version [::ord::openroad_version]
  expect { $version ne "" } "ord::openroad_version is empty"
  return "$version [::ord::openroad_git_describe]"
}

claim tcl "gsr's Tcl loads without a package; what it adds begins with gsr_" {
  set before [info commands ::*]
  use_gsr
  set added [lmap name [info commands ::*] {
    expr { $name in $before ? [continue] : $name }
  }]
  set others [lsearch -all -inline -not $added ::gsr_*]
  expect { $others eq "" } "also adds $others"
  expect { [dict get [gsr_version] tcl] eq [info patchlevel] } [gsr_version]
  return "Tcl [info patchlevel], [llength $added] commands"
}

claim tcl_9 "the build has Tcl 9" {
  if { ![package vsatisfies [info patchlevel] 9-] } { absent "Tcl [info patchlevel]" }
  return "Tcl [info patchlevel]"
}

claim exit_code "an error in a script ends -exit with code 1, and says \[ERROR ..\]" {
  lassign [in_new_process { utl::error GRT 9999 "made up" }] code output
  expect { $code == 1 } "exit code $code"
  set pattern {^\[ERROR [A-Z]{2,4}-\d{4}\] made up$}
  expect { [regexp -line $pattern $output line] } $output
  return $line
}

claim messages "our messages have the form \[WARNING FLW-7031\]" {
  lassign [in_new_process { utl::info FLW 7001 one; utl::warn FLW 7031 two }] code output
  foreach line { "\[INFO FLW-7001\] one" "\[WARNING FLW-7031\] two" } {
    expect { [string first $line $output] >= 0 } $output
  }
  expect { [string first FLW-7090 [error_of utl::error FLW 7090 closed]] >= 0 } "no id in the error"
  return $line
}

claim metrics "utl::metric_float and _integer reach the file of -metrics" {
  set script { utl::metric_float gsr__a__max 1.25; utl::metric_integer gsr__b__count 7 }
  lassign [in_new_process $script -metrics metrics.json] code output
  expect { $code == 0 } "exit code $code: [complaint $output]"
  set text [text_of metrics.json]
  expect { [regexp {"gsr__a__max": *1\.25} $text] && [regexp {"gsr__b__count": *7} $text] } $text
  return [regsub -all {\s+} $text " "]
}

claim abbreviations "utl::metric_int and write_guide still resolve beside our commands" {
  set before [lmap name { utl::metric_int write_guide report_wire_len } { resolves $name }]
  use_gsr
  set after [lmap name { utl::metric_int write_guide report_wire_len } { resolves $name }]
  expect { $before eq $after } "$before before, $after after"
  return $after
}

claim last_option "the last of two equal options is taken" {
  proc ::gsr_last { args } {
    sta::parse_key_args gsr_last args keys { -density } flags { -incremental }
    return $keys(-density)
  }
  expect { [gsr_last -density 0.5 -density 0.7] == 0.7 } [gsr_last -density 0.5 -density 0.7]
  return "0.7 of 0.5 and 0.7"
}

claim options "sta::cmd_args names the options of a command" {
  foreach { command option } {
    global_placement -routability_inflation_ratio_coef global_placement -random_seed
    create_blockage -max_density global_route -congestion_report_file
    find_timing_paths -group_path_count
  } {
    expect { [info exists ::sta::cmd_args($command)] } "nothing of $command"
    expect { [string first $option $::sta::cmd_args($command)] >= 0 } "$command has no $option"
  }
  return "5 of 5"
}

claim child "a child's output is read, and one that hangs is ended" {
  use_gsr
  set fine [fake_python good "echo said"]
  set hangs [fake_python bad "echo started; sleep 60"]
  expect { [::gsr::run_child [list $fine] fine.log 20] eq "" } "a child that succeeds is a failure"
  expect { [string trim [text_of fine.log]] eq "said" } [text_of fine.log]
  set start [clock seconds]
  set wrong [::gsr::run_child [list $hangs] hangs.log 1]
  set took [expr { [clock seconds] - $start }]
  expect { [string match "was stopped*" $wrong] && $took < 20 } "$wrong after $took s"
  return $wrong
}

claim child_environment "a child is started without this process's PYTHONPATH, and it comes back" {
  use_gsr PYTHONPATH here LD_LIBRARY_PATH there
  set program [fake_python envy {echo "[$PYTHONPATH$LD_LIBRARY_PATH] $OMP_WAIT_POLICY"}]
  set wrong [::gsr::run_child [list $program] envy.log 20]
  expect { [string trim [text_of envy.log]] eq "\[\] passive" } "$wrong [text_of envy.log]"
  expect { $::env(PYTHONPATH) eq "here" } "PYTHONPATH is lost"
  return [string trim [text_of envy.log]]
}
