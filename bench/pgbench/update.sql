-- counter is indexed: no HOT update, a new entry in every index.
\set row random(0, :rows - 1)
UPDATE items SET counter = counter + 1 WHERE id = :row;
