"""An SDC file evaluated by Tcl, in a safe interpreter of a child process, as the list of commands that it issues.

SDC is Tcl: variables, expressions and procedures have to run. They run in `interp create -safe`, which has no files, no
processes, no sockets and no `source`, in a `tclsh` of its own with limits of time, memory and output. Nothing of the
file is evaluated here.
"""

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from circuit_io.errors import InputError, ToolError

WRITTEN = "Give the SDC that the flow wrote out (write_sdc), which has values in place of variables and queries."
MAX_OUTPUT = 64 << 20  # bytes of recorded commands, in hexadecimal; 8,000 commands have 1 MB
_MISSING = re.compile(r"""can't read "([^"]+)": no such (?:variable|element in array)""")

# A record is a line: R, line number, then a word of the command each, its list elements in hexadecimal.
_DRIVER = r"""
set box [interp create -safe]
set line 0
set size 0
fconfigure stdout -translation lf -encoding iso8859-1
proc hex {text} {binary encode hex [encoding convertto utf-8 $text]}
proc finish {kind text} {puts "$kind $::line [hex [string range $text 0 999]]"; flush stdout; exit 0}
proc flat {word} {
  if {[catch {llength $word} n]} {return [list $word]}
  if {$n <= 1} {return $word}
  set out {}
  foreach part $word {lappend out {*}[flat $part]}
  return $out
}
proc record {args} {
  set row [list R $::line]
  foreach word $args {
    set parts {}
    foreach part [flat $word] {lappend parts .[hex $part]}
    if {![llength $parts]} {set parts -}
    lappend row [join $parts ""]
  }
  if {[incr ::size [string length $row]] > $::max_output} {finish E "issues too many commands"}
  puts $row
  if {[regexp {^(get|all)_} [lindex $args 0]]} {return [list "query:[join $args]"]}
  return ""
}
proc refuse {name args} {error "uses \"$name\", which SDC does not need and is not run here"}
proc objects {kind args} {
  set out {}
  foreach arg $args {
    if {$arg in {-quiet -nocase -exact}} continue
    if {[string match -* $arg]} {return [list "query:get_$kind [join $args]"]}
    foreach name [flat $arg] {
      if {![regexp {^(port|pin|net|cell|clock|lib|lib_cell|lib_pin|all|query):} $name]} {set name $kind:$name}
      lappend out $name
    }
  }
  return $out
}
proc names {args} {
  set out {}
  foreach name [flat [lindex $args end]] {
    lappend out [regsub {^(port|pin|net|cell|clock|lib|lib_cell|lib_pin):} $name ""]
  }
  if {[llength $out] == 1} {return [lindex $out 0]}
  return $out
}
proc property {args} {error "asks for \"$args\", which only a tool with the netlist knows"}
foreach name [interp hidden $box] {
  if {![string match tcl:* $name]} {interp alias $box $name {} refuse $name}
}
foreach name {after vwait update interp package gets read fileevent} {interp alias $box $name {} refuse $name}
interp alias $box unknown {} record
interp alias $box puts {} list
foreach kind {port pin net cell clock lib lib_cell lib_pin} {interp alias $box get_${kind}s {} objects $kind}
foreach name {get_object_name get_full_name get_name} {interp alias $box $name {} names}
foreach name {get_property get_attribute} {interp alias $box $name {} property}
foreach {name value} $variables {interp eval $box [list set ::$name $value]}
interp eval $box {
  foreach kind {inputs outputs clocks registers} {proc all_$kind args "return all:$kind"}
  proc sizeof_collection objects {llength $objects}
  proc index_collection {objects i args} {lindex $objects $i}
  proc foreach_in_collection {name objects body} {uplevel 1 [list foreach $name $objects $body]}
  proc add_to_collection {args} {concat {*}[lsearch -all -inline -not -glob $args -*]}
  proc append_to_collection {name objects args} {upvar 1 $name all; lappend all {*}$objects}
  proc remove_from_collection {objects gone} {
    foreach one $gone {set objects [lsearch -all -inline -not -exact $objects $one]}
    return $objects
  }
}
interp limit $box time -seconds [expr {[clock seconds] + $seconds + 1}]
set count 0
set buffer ""
foreach text [split $source \n] {
  incr count
  if {$buffer eq ""} {set line $count}
  append buffer $text \n
  if {[string index $text end] eq "\\" || ![info complete $buffer]} continue
  if {[catch {interp eval $box $buffer} message options]} {
    if {[dict get $options -code] == 1} {finish E $message}
  }
  set buffer ""
}
if {$buffer ne ""} {
  if {![info complete $buffer]} {finish E "ends inside a command"}
  if {[catch {interp eval $box $buffer} message]} {finish E $message}
}
finish D ""
"""


@dataclass(frozen=True)
class Command:
    """A command as issued, with the elements of each argument; objects are `port:NAME`, `pin:NAME`, `all:inputs`."""

    name: str
    words: tuple[tuple[str, ...], ...]
    line: int


def evaluate(
    text: bytes, *, path: Path | str, variables: Mapping[str, str], seconds: int, memory_mb: int
) -> list[Command]:
    """The commands that an SDC text issues, in order.

    Args:
        text: the file, `\\n` at line ends.
        path: for messages.
        variables: Tcl variables to set first, such as `env(CLOCK_PERIOD)`.
        seconds: limit of time.
        memory_mb: limit of memory of the child process.

    Raises:
        InputError: the text is no Tcl, reads a variable that is not given, wants what it may not have, or hits a limit.
        ToolError: there is no tclsh.
    """
    tclsh = next(filter(None, map(shutil.which, ("tclsh", "tclsh8.6", "tclsh9.0"))), None)
    if tclsh is None:
        raise ToolError(f"{path}: SDC is Tcl, and no tclsh is on PATH\n  Install Tcl (Debian: apt-get install tcl).")
    given = " ".join(_hex(item) or "{}" for pair in variables.items() for item in pair)
    script = (
        "proc text {hex} {encoding convertfrom utf-8 [binary decode hex $hex]}\n"
        f"set max_output {MAX_OUTPUT}\nset seconds {seconds}\n"
        f"set variables {{}}\nforeach item {{{given}}} {{lappend variables [text $item]}}\n"
        f"set source [text {_hex(text.decode('utf-8', 'replace')) or '{}'}]\n{_DRIVER}"
    )
    limits = f"ulimit -c 0; ulimit -v {memory_mb * 1024}; ulimit -t {seconds + 5}"
    command = ["sh", "-c", f'({limits}) 2>/dev/null && {limits}; exec "$0" /dev/stdin', tclsh]
    try:
        done = subprocess.run(command, input=script.encode(), capture_output=True, timeout=seconds + 5, check=False)
    except subprocess.TimeoutExpired as e:
        raise InputError(f"is still running after {seconds + 5} s", path=path, mend=WRITTEN) from e
    return _records(done, path, seconds, memory_mb)


def _hex(text: str) -> str:
    return text.encode("utf-8", "replace").hex()


def _records(done: subprocess.CompletedProcess[bytes], path: Path | str, seconds: int, memory_mb: int) -> list[Command]:
    out, finished = [], False
    for row in done.stdout.decode("ascii", "replace").split("\n")[:-1]:  # a child that was ended may cut the last one
        kind, number, *words = row.split(" ")
        if kind == "R":
            parts = [tuple(bytes.fromhex(p).decode("utf-8", "replace") for p in w.split(".")[1:]) for w in words]
            out.append(Command(" ".join(parts[0]), tuple(parts[1:]), int(number)))
        elif kind == "E":
            message = bytes.fromhex(words[0]).decode("utf-8", "replace") if words else ""
            raise _error(message, path, int(number), seconds)
        finished = kind == "D"
    if not finished:
        what = f"cannot be evaluated within {seconds} s and {memory_mb} MB"
        raise InputError(what, path=path, mend=WRITTEN)
    return out


def _error(message: str, path: Path | str, line: int, seconds: int) -> InputError:
    if found := _MISSING.search(message):
        name = found[1].removeprefix("::")
        what = f'reads the variable "{name}", which the flow sets and this file does not'
        mend = f"Give its value (gsr export --sdc-variable '{name}=VALUE'), or the SDC that the flow wrote (write_sdc)."
        return InputError(what, path=path, line=line, mend=mend)
    if "time limit exceeded" in message:
        return InputError(f"runs for more than {seconds} s", path=path, line=line, mend=WRITTEN)
    shown = " ".join(message.split())
    return InputError(shown[:200] + ("..." if len(shown) > 200 else ""), path=path, line=line, mend=WRITTEN)
