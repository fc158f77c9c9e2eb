"""The peers of the side-by-side benchmarks: the same protocol, well written on pyca."""
