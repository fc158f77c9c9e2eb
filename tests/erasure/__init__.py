"""Nothing secret stays in memory after ``close``: one process holds, another one searches it."""
