module vecmac #(parameter N = 2) (input clk, input rst, input [15:0] x, input load, input [7:0] addr_in,
                 output reg [39:0] acc, output reg [15:0] best, output reg [3:0] where);
  reg [15:0] d [0:N-1]; reg [7:0] a; integer i;
  wire [15:0] q [0:N-1]; reg [31:0] p [0:N-1]; reg [39:0] s; reg [N-1:0] sel;
  genvar g;
  generate for (g = 0; g < N; g = g + 1) begin : bank
    ram u (.clk(clk), .we(load & sel[g]), .ce(1'b1), .a(a + g), .d(d[g]), .q(q[g]));
    always @(posedge clk) begin p[g] <= q[g] * d[g] + {p[g][15:0], 16'h1} ; end
  end endgenerate
  always @* begin s = 0; for (i = 0; i < N; i = i + 1) s = s + p[i]; end
  always @(posedge clk) begin
    if (rst) begin acc <= 0; a <= 0; sel <= 1; best <= 0; where <= 0; for (i=0;i<N;i=i+1) d[i] <= 0; end
    else begin
      a <= load ? addr_in : a + 8'd1; sel <= {sel[N-2:0], sel[N-1]};
      acc <= acc + s; d[0] <= x; for (i=1;i<N;i=i+1) d[i] <= d[i-1] ^ {q[i-1][7:0], q[i-1][15:8]};
      if (s[15:0] > best) begin best <= s[15:0]; where <= a[3:0]; end
    end
  end
endmodule
// SPDX-License-Identifier: BSD-3-Clause
// N memories, a multiplier at each; their sum is accumulated and its best value kept.
// Lines stay as they are: yosys orders cells by their numbers, and labels are made again only from the same netlist.
