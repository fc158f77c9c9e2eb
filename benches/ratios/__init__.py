"""Side-by-side ratios: sage_native against its peers, interleaved in one run.

``python -m benches.ratios`` measures, prints and records. Method: docs/performance.md.
"""
