"""Circuits: files in, typed columns, graphs and stored designs out. numpy and pyarrow; never torch."""
