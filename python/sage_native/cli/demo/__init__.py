"""``sage-native demo``: two agents, a real connection, files, and four attempts to cheat.

Alice is the process that the user started. Bob (``responder``) and later Mallory (``impostor``) are
processes of their own, so nothing is shared but what crosses a loopback TCP connection. Before the
handshake they know each other's DID, which is what a directory would have told them.
"""
