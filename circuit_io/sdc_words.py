"""The commands of SDC: options of those that are interpreted, names of the others, kinds of objects."""

KINDS = frozenset(("port", "pin", "net", "cell", "clock", "lib", "lib_cell", "lib_pin"))
LIMITS = ("set_max_transition", "set_max_fanout", "set_max_capacitance")
_EDGES = "-rise -fall -min -max "
_DELAYS = "-add_delay -clock_fall -level_sensitive -source_latency_included -network_latency_included"

# options with a value, then flags
OPTIONS: dict[str, tuple[str, str]] = {
    "create_clock": ("-name -period -waveform -comment", "-add"),
    "create_generated_clock": (
        "-name -source -divide_by -multiply_by -duty_cycle -edges -edge_shift -master_clock -comment -pll_output "
        "-pll_feedback",
        "-add -invert -combinational",
    ),
    **dict.fromkeys(("set_input_delay", "set_output_delay"), ("-clock -reference_pin", _EDGES + _DELAYS)),
    "set_load": ("-corner", _EDGES + "-pin_load -wire_load -subtract_pin_load"),
    "set_driving_cell": (
        "-lib_cell -cell -library -pin -from_pin -input_transition_rise -input_transition_fall -multiply_by",
        _EDGES + "-dont_scale -no_design_rule",
    ),
    **dict.fromkeys(LIMITS, ("", _EDGES + "-clock_path -data_path")),
    "set_units": ("-time -capacitance -resistance -voltage -current -power -distance", ""),
}

_KEPT = """
    set_false_path set_multicycle_path set_max_delay set_min_delay set_clock_groups set_clock_uncertainty
    set_clock_latency set_clock_transition set_propagated_clock set_clock_gating_check set_clock_sense
    set_case_analysis set_logic_zero set_logic_one set_logic_dc set_input_transition set_drive
    set_fanout_load set_port_fanout_number set_resistance set_timing_derate set_disable_timing
    set_data_check set_ideal_network set_ideal_net set_max_area set_min_capacitance set_max_time_borrow
    set_operating_conditions set_wire_load_mode set_wire_load_model set_wire_load_min_block_size
    set_wire_load_selection_group set_voltage set_hierarchy_separator current_design current_instance
    group_path set_dont_touch set_dont_use set_sense set_max_leakage_power set_max_dynamic_power
    set_level_shifter_strategy set_level_shifter_threshold create_voltage_area set_ideal_latency
    set_ideal_transition"""
PLAIN = frozenset(_KEPT.split())  # counted, and kept as they are
