"""The closed loop: every arm of every case placed, judged by a fresh OpenROAD, and compared."""
