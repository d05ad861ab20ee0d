tapcell \
  -distance 20 \
  -tapcell_master $::env(TAP_CELL_NAME) \
  -endcap_master $::env(TAP_CELL_NAME) \
  -halo_width_x 2 \
  -halo_width_y 2
