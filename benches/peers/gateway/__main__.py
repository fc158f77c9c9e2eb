"""``python -m benches.peers.gateway PORT WORKERS``: serve until told to stop."""

from __future__ import annotations

import sys

import uvicorn


def main() -> None:
    """Run the command."""
    port, worker_count = int(sys.argv[1]), int(sys.argv[2])
    uvicorn.run(
        "benches.peers.gateway.app:create_app",
        factory=True,
        port=port,
        workers=worker_count,
        loop="uvloop",
        http="httptools",
        ws="none",
        proxy_headers=False,
        access_log=False,
        log_level="warning",
        backlog=1024,
        server_header=False,
    )


if __name__ == "__main__":
    main()
