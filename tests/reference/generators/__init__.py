"""One module for every vector file; each returns the whole file as a JSON value."""
