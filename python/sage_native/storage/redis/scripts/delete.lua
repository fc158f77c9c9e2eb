-- Delete one session.
--
-- KEYS  row
-- ARGV  what every key of the store begins with; session id
--
-- Returns 1, or 0 if it was gone.
return drop(ARGV[1], ARGV[2])
