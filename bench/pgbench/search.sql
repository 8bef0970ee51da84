\set query random(1, :queries)
SELECT id FROM items
ORDER BY embedding <-> (SELECT embedding FROM queries WHERE id = :query) LIMIT 10;
