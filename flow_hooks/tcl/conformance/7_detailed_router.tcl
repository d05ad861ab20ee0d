# The detailed router, which a build may lack.

claim pin_access "after pin_access global_route has the same capacity, and other usage" {
  needs_command pin_access
  use_design routed
  set without [gcells]
  set with [told {
    use_design placed
    ::pin_access -verbose 0
    route
    answer [gcells]
  }]
  set other 0
  dict for { edge pair } $without {
    lassign $pair capacity usage
    lassign [dict get $with $edge] capacity_with usage_with
    expect { $capacity == $capacity_with } "$edge: $capacity_with tracks, $capacity without"
    incr other [expr { $usage != $usage_with }]
  }
  return "usage differs on $other of [dict size $without] edges"
}

claim drc_report "the report of detailed_route holds what it counts, and our Python reads it" {
  needs_command detailed_route
  set counted [told {
    use_design placed
    route
    ::detailed_route -output_drc drc.rpt -droute_end_iter 0 -verbose 0
    answer [::detailed_route_num_drvs]
  }]
  set read [python {
from circuit_io.drc import read_drc
print(len(read_drc("drc.rpt").kind))
  }]
  expect { $read == $counted } "$read violations are read, $counted are counted"
  return "$counted violations after the first iteration"
}
