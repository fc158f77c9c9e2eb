"""Storms against the replay memory: many processes, the same nonces, and death at any moment.

``python -m tests.storm`` runs them for minutes and prints one line each; the tests run them short.
"""
