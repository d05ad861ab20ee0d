"""The words that mean something in Verilog, and the codes beside bit numbers."""

CONST_0, CONST_1, NOTHING = -1, -2, -3  # codes beside bit numbers; z and x connect nothing

DIRECTIONS = {b"input": 0, b"output": 1, b"inout": 2}
SUPPLIES = {b"supply0": CONST_0, b"supply1": CONST_1}
NETS = {b"wire", b"tri", *SUPPLIES}
IGNORED = {b"parameter", b"localparam", b"defparam", b"specparam"}  # ranges are numbers, so these change no structure
PRIMITIVES = set(
    b"and nand or nor xor xnor buf not bufif0 bufif1 notif0 notif1 nmos pmos cmos rnmos rpmos rcmos tran tranif0"
    b" tranif1 rtran rtranif0 rtranif1 pullup pulldown".split()
)
BEHAVIOURAL = set(
    b"always always_comb always_ff always_latch initial reg integer real realtime time event function task generate"
    b" genvar if for case casex casez begin fork forever repeat while specify primitive table logic bit byte interface"
    b" package import class program typedef enum struct union assert property sequence bind final wand wor triand"
    b" trior tri0 tri1 trireg deassign force release else end".split()
)
KEYWORDS = {*DIRECTIONS, *NETS, *IGNORED, *PRIMITIVES, *BEHAVIOURAL, b"module", b"macromodule", b"assign"}
KEYWORDS |= {b"endmodule"}
STRUCTURE = "Only instances, nets and plain assigns are read: give the netlist that synthesis wrote, not RTL."
