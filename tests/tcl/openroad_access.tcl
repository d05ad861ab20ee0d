# Stand-ins for a detailed router that knows where the pins of a library are reached: every pin in
# one place, but for the master ACCESS_MOVES, whose place follows the inst's site. It ends when it
# has named all of ACCESS_NONE, as OpenROAD does; MASTER/PIN of ACCESS_OPEN has no point.

source [file join [file dirname [file normalize [info script]]] openroad_label.tcl]

namespace eval ::stub {
set dbu 2000
set routing_range { 2 5 }
variable cells {}
variable handles {}
stand_in set_thread_count {} {} 1 {} block

proc setting { name } { return [expr { [info exists ::env($name)] ? $::env($name) : "" }] }

# A handle: a command of that prefix.
proc object { args } {
  set name ::stub::object_[join $args _]
  interp alias {} $name {} {*}$args
  return $name
}

# The insts and nets of a DEF that has a statement on each line.
proc load_cells { path } {
  variable cells
  variable handles
  set orients { N R0 S R180 FN MY FS MX }
  set channel [open $path r]
  foreach line [split [read $channel] \n] {
    if { [regexp {^- (\S+) (\S+) \+ PLACED \( (\d+) \d+ \) (\S+) ;$} $line -> inst master x o] } {
      dict set cells $inst [list $master [dict get $orients $o] $x {}]
      lappend handles [object ::stub::cell $inst]
    } elseif { [regexp {^- \S+ \( (\S+) (\S+) \) ;$} $line -> inst pin] } {
      lassign [dict get $cells $inst] master orient x pins
      dict set cells $inst [list $master $orient $x [concat $pins $pin]]
    }
  }
  close $channel
}

proc cell { inst method } {
  variable cells
  lassign [dict get $cells $inst] master orient x pins
  switch -- $method {
    getMaster { return [object ::stub::named $master] }
    getOrient { return $orient }
    getITerms { return [lmap pin $pins { object ::stub::iterm $master $x $pin }] }
  }
  error "Invalid method $method for dbInst"
}

proc iterm { master x pin method } {
  variable state
  switch -- $method {
    getMTerm { return [object ::stub::named $pin] }
    getPrefAccessPoints {
      if { "access" ni $state || "$master/$pin" eq [setting ACCESS_OPEN] } { return {} }
      set at [expr { $master eq [setting ACCESS_MOVES] ? 100 + 400 * ($x / 400 % 4 == 1) : 200 }]
      return [list [object ::stub::point [list $at 1200]]]
    }
  }
  error "Invalid method $method for dbITerm"
}

proc named { name method } { return $name }

proc point { place method } {
  return [expr { $method eq "getPoint" ? $place : [object ::stub::named M1] }]
}

rename block other_block
proc block { method args } {
  if { $method eq "getInsts" } { return $::stub::handles }
  return [other_block $method {*}$args]
}

rename ::read_def read_other
proc ::read_def { path } {
  ::stub::read_other $path
  ::stub::load_cells $path
}

rename ::pin_access accessed
proc ::pin_access { args } {
  ::stub::accessed {*}$args
  set lost 0
  dict for { inst cell } $::stub::cells {
    lassign $cell master orient x pins
    if { $master in [::stub::setting ACCESS_NONE] } {
      puts "\[ERROR DRT-0073\] No access point for $inst/[lindex $pins 0] ($master)."
      incr lost
    }
  }
  if { $lost } { error "DRT-0073" }
}
}
