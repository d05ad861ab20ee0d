// a comment with a "quote
module top (a, b, \y[0] );
  input [3:0] a; /* of
  two lines */ input b;
  output \y[0] ;
  wire n1, n2; wire [1:0] v;
  (* keep = 1, src = "a.v:3; endmodule" *) INV u1 (.A(a[0]), .ZN(n1));
  NAND2 \u2[1] (.A1(n1), .A2(a[3]), .ZN(\y[0] )), u3 (.A1(1'b0), .A2(v[1]), .ZN());
  assign v = {a[2:1]};
  sub s (.d({1'b0, a, 2'b10}), .q({v[1], n2}));
  sub #(.W(3)) t (a, {4{b}});
endmodule
module sub (d, q); input [6:0] d; output q; endmodule
