"""What a verified signature costs, against the length of the batch and the number of keys.

``python -m benches.ratios.verification`` measures, prints and records. Method: docs/performance.md.
"""
