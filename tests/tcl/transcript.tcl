# Asks an openroad, or the stand-ins for one, the same questions on the same design, and prints a
# line for each answer: question, `ok` or `error`, answer; tabs between. Objects are told by their
# kind. tests/test_transcript.py compares the two; the design is loaded or made up before.

namespace eval ::transcript {
# Pointers of SWIG and the names of the stand-ins, as <kind>.
proc plain { text } {
  set text [regsub -all {_[0-9a-f]+_p_(?:odb__)?(\w+)} $text {<\1>}]
  set text [regsub -all {::inst_\d+} $text <dbInst>]
  set text [regsub -all {::blockage_\d+} $text <dbBlockage>]
  set text [regsub -all {::layer_\w+} $text <dbTechLayer>]
  set text [string map {
    ::property <dbDoubleProperty> ::gcell_grid <dbGCellGrid> ::block <dbBlock> ::chip <dbChip>
    ::tech <dbTech>
  } $text]
  return [regsub -all {\s+} [string trim $text] " "]
}

# What counts of an error: the id of the message, else its first line, without a list of methods.
proc complaint { text } {
  if { [regexp {\m[A-Z]{2,4}-\d{4}\M|^Invalid method} $text id] } { return $id }
  return [plain [lindex [split $text \n] 0]]
}

proc ask { question } {
  if { [catch { uplevel #0 $question } answer] } {
    set row [list error [complaint $answer]]
  } else {
    set row [list ok [plain $answer]]
  }
  puts "answer\t$question\t[join $row \t]"
}

proc ask_all { path } {
  set channel [open $path r]
  set questions [split [string trim [read $channel]] \n]
  close $channel
  foreach question $questions {
    if { [string index $question 0] ne "#" } { ask $question }
  }
}
}

::transcript::ask_all [file join [file dirname [file normalize [info script]]] questions.txt]
