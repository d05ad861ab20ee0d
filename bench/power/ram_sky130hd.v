// SPDX-License-Identifier: BSD-3-Clause
module ram (input clk, input we, input ce, input [7:0] a, input [15:0] d, output [15:0] q);
  fakeram130_256x16 m (
      .clk(clk), .we_in(we), .ce_in(ce), .addr_in(a), .wd_in(d), .w_mask_in(16'hffff), .rd_out(q)
  );
endmodule
