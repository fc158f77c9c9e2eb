"""The endpoints: one file for each thing that the API is about."""
