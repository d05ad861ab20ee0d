# make_tracks without offsets takes one from the LEF that is below 0, which it then refuses.
foreach { pitch layers } { 0.036 { M1 M2 M3 } 0.048 { M4 M5 } 0.064 { M6 M7 } 0.08 { M8 M9 Pad } } {
  foreach layer $layers {
    make_tracks $layer -x_offset $pitch -x_pitch $pitch -y_offset $pitch -y_pitch $pitch
  }
}
