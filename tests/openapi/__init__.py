"""The API description: what is derived from ``api/openapi.yaml``, and the worked examples in it.

``api/openapi.yaml`` is the one source. ``python -m tests.openapi`` writes what follows from it.
"""
