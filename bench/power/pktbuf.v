module pktbuf #(parameter N = 2) (input clk, input rst, input [15:0] din, input push, input [23:0] route,
                 output reg [127:0] dout, output reg [31:0] crc);
  reg [7:0] wp, rp; wire [15:0] q [0:N-1]; reg bank; reg [15:0] lane [0:7]; integer i, j; reg [31:0] c;
  genvar g;
  generate for (g = 0; g < N; g = g + 1) begin : mem
    ram u (.clk(clk), .we(push & (bank == g[0])), .ce(1'b1), .a(push & (bank == g[0]) ? wp : rp + g), .d(din ^ {8'h0, rp}), .q(q[g]));
  end endgenerate
  reg [15:0] w;
  always @* begin
    w = 0; for (i = 0; i < N; i = i + 1) w = w ^ q[i];
    c = crc; for (i = 0; i < 16; i = i + 1) c = {c[30:0], 1'b0} ^ ((c[31] ^ w[i]) ? 32'h04c11db7 : 32'h0);
  end
  always @(posedge clk) begin
    if (rst) begin wp <= 0; rp <= 0; bank <= 0; crc <= 32'hffffffff; end
    else begin
      if (push) wp <= wp + 1; rp <= rp + 1; if (&wp) bank <= ~bank; crc <= c;
      lane[rp[2:0]] <= w + lane[rp[2:0] ^ 3'd5];
    end
    for (j = 0; j < 8; j = j + 1) dout[16*j +: 16] <= lane[route[3*j +: 3]] + (lane[j] * lane[7-j]);
  end
endmodule
// SPDX-License-Identifier: BSD-3-Clause
// A packet buffer of N memories with checksum, and eight lanes behind a crossbar.
// Lines stay as they are: yosys orders cells by their numbers, and labels are made again only from the same netlist.
