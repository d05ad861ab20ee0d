"""The bits of the ports of a Verilog module, by name."""

from circuit_io.verilog_bits import Module


def port_bit_names(module: Module, port: bytes, shown: bytes | None) -> list[bytes]:
    """Names of the bits of a port, leftmost first: those of its range, or counted down where it shows an expression."""
    width = len(module.ports[port])
    if shown is not None:
        return [port] if width == 1 else [b"%b[%d]" % (port, i) for i in reversed(range(width))]
    if port not in module.vectors:
        return [port]
    left, right, _ = module.vectors[port]
    step = 1 if right >= left else -1
    return [b"%b[%d]" % (port, i) for i in range(left, right + step, step)]


def port_bits(module: Module) -> list[tuple[bytes, int, int]]:
    """Name, direction and bit (or constant) of every bit of every port."""
    out = []
    for port, shown in module.shown.items():
        names = port_bit_names(module, port, shown)
        direction = module.directions[port]
        out += [(name, direction, bit) for name, bit in zip(names, module.ports[port], strict=True)]
    return out
