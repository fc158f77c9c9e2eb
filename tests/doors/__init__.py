"""Every way into one operation: each function takes a case through all and asserts one answer."""
