"""An independent reference of SAGE-HS/1, written from the text of the protocol alone.

Pure Python on pyca ``cryptography`` and the standard library, clarity over speed. It exists to
disagree: the product answers to the vectors made here (``python -m tests.reference.generate``),
and shares no line of code with it. Nothing here draws a random number or reads a clock: every
ephemeral secret, nonce, session id, incarnation and time is handed in, so every transcript can be
repeated byte for byte. It is not constant-time and erases nothing reliably: never use it to
protect anything.

Source: docs/protocol.md.
"""
