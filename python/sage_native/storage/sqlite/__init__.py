"""The stores in an SQLite file: no server, durable, several processes of one machine."""
