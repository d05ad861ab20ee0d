# One claim about OpenROAD, tested in a process of its own: `openroad -exit run.tcl` with GSR_CLAIM
# (its name), GSR_CLAIM_FILE (the file it stands in) and GSR_CLAIM_RESULT (where its status and
# what was seen go) in the environment. The folder it runs in is shared by all claims of a run.
#
#   claim name "what is relied on" { body }
#
# The body returns what it has seen; `expect`, `absent` and a command that is not there end it
# otherwise.

foreach claims_part { kit gsr window } {
  source [file join [file dirname [file normalize [info script]]] $claims_part.tcl]
}

namespace eval ::claims {
proc claim { name text body } {
  # tclint-disable-next-line command-args
  if { $name eq $::env(GSR_CLAIM) } { proc ::claims::wanted { } $body }
}

proc run { } {
  source [file join $::env(GSR_CLAIM_FILE)]
  set status pass
  if { [catch { wanted } seen details] } {
    set status fail
    if { [lrange [dict get $details -errorcode] 0 1] eq "CLAIM ABSENT" } { set status absent }
    # an older OpenROAD, or one with fewer modules
    if { [regexp {invalid command name "(?:::)?([^"]+)"} $seen _ name] } {
      set status absent
      set seen "there is no command $name"
    }
  }
  set channel [open $::env(GSR_CLAIM_RESULT) w]
  fconfigure $channel -encoding utf-8
  puts $channel $status
  puts -nonewline $channel $seen
  close $channel
}
}

::claims::run
