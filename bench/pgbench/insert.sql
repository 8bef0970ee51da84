INSERT INTO items (id, embedding)
SELECT id, embedding FROM spare WHERE id = (SELECT nextval('next_spare')::int);
