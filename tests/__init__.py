"""Tests and the independent reference of the protocol."""
