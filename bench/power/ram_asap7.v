// SPDX-License-Identifier: BSD-3-Clause
module ram (input clk, input we, input ce, input [7:0] a, input [15:0] d, output [15:0] q);
  sram_asap7_16x256_1rw m (.clk(clk), .we_in(we), .ce_in(ce), .addr_in(a), .wd_in(d), .rd_out(q));
endmodule
