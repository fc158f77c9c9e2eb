"""The peer of "gateway handshakes over HTTP": the same protocol on FastAPI, uvicorn and pyca.

See README.md beside this file for what it does, how it was tuned, and where its time goes.
"""
