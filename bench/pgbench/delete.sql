-- Another row each time: 7919 is a prime that does not divide :rows.
DELETE FROM items WHERE id = (SELECT (nextval('next_delete') * 7919 % :rows)::int);
