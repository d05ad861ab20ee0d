# Text in and out: percent-encoded names, checked numbers, TSV in, JSON out.
#
# Files are read and written as bytes, so that any name survives any locale; Tcl never reads JSON
# and never evaluates anything that it reads.

namespace eval ::gsr {
variable max_file_bytes 67108864

# --- reading ----------------------------------------------------------------------------

proc read_bytes { path } {
  variable max_file_bytes
  if { ![file isfile $path] } { raise_failure "$path does not exist." }
  if { [file size $path] > $max_file_bytes } {
    raise_failure "$path has [file size $path] bytes; at most $max_file_bytes are read."
  }
  set channel [open $path rb]
  try {
    return [read $channel]
  } finally {
    close $channel
  }
}

# The lines of a text file; one that was cut short, or that is not text, is refused.
proc read_lines { path } {
  set bytes [read_bytes $path]
  if { $bytes eq "" } { raise_failure "$path is empty." }
  if { [string first \0 $bytes] >= 0 } { raise_failure "$path is not text (it holds a NUL byte)." }
  if { [string index $bytes end] ne "\n" } {
    raise_failure "$path ends in the middle of a line: it was cut short. Write it again."
  }
  set bytes [string map [list \r\n \n] $bytes]
  return [split [string range $bytes 0 end-1] \n]
}

# What follows `#<schema> <version>` in a first line, as a dict of the words key=value.
proc read_header { path line schema } {
  set words [regexp -all -inline {[^ \t]+} $line]
  if { [lindex $words 0] ne "#$schema" } {
    raise_failure "$path:1: expected \"#$schema 1 ...\"."
  }
  if { [lindex $words 1] ne "1" } {
    set found [lindex $words 1]
    raise_failure "$path:1: version \"$found\" of $schema; this package reads version 1. Update it."
  }
  set header [dict create]
  foreach word [lrange $words 2 end] {
    set at [string first = $word]
    if { $at < 1 } { raise_failure "$path:1: \"$word\" is not of the form key=value." }
    set key [string range $word 0 [expr { $at - 1 }]]
    if { [catch { percent_decode [string range $word [expr { $at + 1 }] end] } value] } {
      raise_failure "$path:1: $key: $value"
    }
    dict set header $key $value
  }
  return $header
}

# `key<TAB>value` lines as a dict; lines that begin with # are passed over.
proc read_pairs { path } {
  set pairs [dict create]
  set number 0
  foreach line [read_lines $path] {
    incr number
    if { $line eq "" || [string index $line 0] eq "#" } { continue }
    set fields [split $line \t]
    if { [llength $fields] != 2 } {
      raise_failure "$path:$number: expected a key, a tab and a value."
    }
    dict set pairs [lindex $fields 0] [lindex $fields 1]
  }
  return $pairs
}

# A name from its percent-encoded form. %XX stands for a byte; the bytes are UTF-8.
proc percent_decode { text } {
  set parts [split $text %]
  set bytes [lindex $parts 0]
  foreach part [lrange $parts 1 end] {
    if { ![regexp {^[0-9A-Fa-f]{2}} $part digits] } { error "stray % in \"$text\"" }
    scan $digits %x code
    append bytes [format %c $code] [string range $part 2 end]
  }
  if { [string first \0 $bytes] >= 0 } { error "NUL byte in \"$text\"" }
  if { ![is_utf8 $bytes] } { error "\"$text\" is not UTF-8" }
  return [encoding convertfrom utf-8 $bytes]
}

proc is_utf8 { bytes } {
  if { [catch { encoding convertto utf-8 [encoding convertfrom utf-8 $bytes] } again] } { return 0 }
  return [expr { $again eq $bytes }]
}

# --- numbers ----------------------------------------------------------------------------

# True if `text` is a plain finite decimal number; it is left in `variable` as a double.
proc is_number { text variable } {
  upvar 1 $variable value
  if { ![regexp {^[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]+)?$} $text] } { return 0 }
  if { [scan $text %f value] != 1 } { return 0 }
  return [expr { abs($value) < 1e12 }]
}

# The same for a whole number that is not negative.
proc is_count { text variable } {
  upvar 1 $variable value
  if { ![regexp {^[0-9]{1,9}$} $text] } { return 0 }
  scan $text %d value
  return 1
}

# --- writing ----------------------------------------------------------------------------

# A file that is whole or absent: written beside its place, then renamed.
proc write_file { path bytes } {
  set temporary $path.[pid].tmp
  set channel [open $temporary wb]
  set done 0
  try {
    puts -nonewline $channel $bytes
    close $channel
    set done 1
    file rename -force $temporary $path
  } finally {
    if { !$done } { catch { close $channel } }
    catch { file delete $temporary }
  }
}

# JSON text (bytes, UTF-8) of a name that OpenROAD gave us.
proc json_string { text } {
  if { [catch { encoding convertto utf-8 $text } bytes] } {
    set bytes [encoding convertto utf-8 [printable $text]]
  }
  return [json_bytes $bytes]
}

# JSON text of a path: the bytes that the operating system knows it by. Bytes that are not UTF-8
# become lone surrogates, which Python's os.fsencode turns back.
proc json_path { path } {
  if { [catch { encoding convertto [encoding system] $path } bytes] } { return [json_string $path] }
  if { [is_utf8 $bytes] } { return [json_bytes $bytes] }
  set out ""
  foreach char [split $bytes ""] {
    scan $char %c code
    if { $code < 0x80 } {
      append out [string range [json_bytes $char] 1 end-1]
    } else {
      append out [format "\\udc%02x" $code]
    }
  }
  return "\"$out\""
}

proc json_bytes { bytes } {
  set text [string map [list \\ \\\\ \" \\\" \n \\n \r \\r \t \\t] $bytes]
  if { [regexp {[\x00-\x1f\x7f]} $text] } {
    set clean ""
    foreach char [split $text ""] {
      scan $char %c code
      if { $code < 0x20 || $code == 0x7f } {
        append clean [format "\\u%04x" $code]
      } else {
        append clean $char
      }
    }
    set text $clean
  }
  return "\"$text\""
}

proc json_number { value } {
  if { ![is_number $value number] } { return null }
  if { $number == round($number) && abs($number) < 1e9 } { return [format %.0f $number] }
  return [format %.10g $number]
}

# A number that a reader will not take for a count: always with a point or an exponent.
proc json_real { value } {
  set text [json_number $value]
  if { [regexp {^-?[0-9]+$} $text] } { append text .0 }
  return $text
}

# A list or an object from texts that are JSON already.
proc json_list { items } {
  return "\[[join $items {, }]\]"
}

proc json_object { pairs { indent "" } } {
  set lines {}
  foreach { key value } $pairs {
    lappend lines "$indent  [json_string $key]: $value"
  }
  if { [llength $lines] == 0 } { return "{}" }
  return "{\n[join $lines ",\n"]\n$indent}"
}
}
