"""Real servers for tests: started without root, on loopback, gone when this process is."""
