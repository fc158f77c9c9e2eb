"""Metrics: what happens, counted and served to Prometheus."""
