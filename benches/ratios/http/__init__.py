"""Load over HTTP/1.1 for the rows about the gateway: servers, connections, dialogues, CPU time.

The generator keeps one request at a time under way on each of its connections, and lives on a core
of its own. What is compared is the CPU time that the server's processes spent for an operation, as
the kernel counts it, so what the generator costs is no part of any figure.
"""
