"""Vectors that others published, run through the Python API and counted (``table.py``)."""
