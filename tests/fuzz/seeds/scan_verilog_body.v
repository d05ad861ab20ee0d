module top (a, b, \y[0] );@@
  input [3:0] a; input b;
  output \y[0] ;
  wire n1, n2; wire [1:0] v;
  INV u1 (.A(a[0]), .ZN(n1));
  NAND2 \u2[1] (.A1(n1), .A2(a[3]), .ZN(\y[0] )), u3 (.A1(1'b0), .A2(v[1]), .ZN());
  assign v = {a[2:1]}, \y[0] = n1 ;
  supply1 one; tri signed [0:-2] t , \t/2 ; parameter P = 3;
  sub s (.d({1'b0, a, 2'b10}), .q({v[1], n2}));
endmodule
module sub (d, q); input [6:0] d; output q; endmodule
