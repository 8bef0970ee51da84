--
-- What the access method says of itself, and what it thinks of operator classes.
--
SELECT opcname, opcdefault, amvalidate(opc.oid)
FROM pg_opclass AS opc JOIN pg_am AS am ON am.oid = opc.opcmethod
WHERE am.amname = 'omen_hnsw'
ORDER BY opcname;

SELECT property, pg_indexam_has_property(am.oid, property)
FROM pg_am AS am,
	 unnest(ARRAY['can_order', 'can_unique', 'can_multi_col', 'can_exclude', 'can_include', 'nonsense'])
		 AS property
WHERE am.amname = 'omen_hnsw';

CREATE TABLE prop (v vector(3));
CREATE INDEX prop_index ON prop USING omen_hnsw (v vector_l2_ops);

SELECT property, pg_index_has_property('prop_index', property)
FROM unnest(ARRAY['clusterable', 'index_scan', 'bitmap_scan', 'backward_scan']) AS property;

SELECT property, pg_index_column_has_property('prop_index', 1, property)
FROM unnest(ARRAY['asc', 'desc', 'nulls_first', 'nulls_last', 'orderable', 'distance_orderable',
				  'returnable', 'search_array', 'search_nulls']) AS property;

DROP TABLE prop;

-- operator classes that cannot work
CREATE OPERATOR CLASS no_function FOR TYPE vector USING omen_hnsw AS
	OPERATOR 1 <-> (vector, vector) FOR ORDER BY float_ops;
CREATE OPERATOR CLASS no_operator FOR TYPE vector USING omen_hnsw AS
	FUNCTION 1 omen_hnsw_vector_l2_support(internal);
CREATE OPERATOR CLASS search_operator FOR TYPE vector USING omen_hnsw AS
	OPERATOR 1 = (vector, vector),
	FUNCTION 1 omen_hnsw_vector_l2_support(internal);
CREATE OPERATOR CLASS second_operator FOR TYPE vector USING omen_hnsw AS
	OPERATOR 1 <-> (vector, vector) FOR ORDER BY float_ops,
	OPERATOR 2 <#> (vector, vector) FOR ORDER BY float_ops,
	FUNCTION 1 omen_hnsw_vector_l2_support(internal);
CREATE OPERATOR CLASS wrong_order FOR TYPE vector USING omen_hnsw AS
	OPERATOR 1 <-> (vector, vector) FOR ORDER BY integer_ops,
	FUNCTION 1 omen_hnsw_vector_l2_support(internal);
CREATE OPERATOR CLASS wrong_function FOR TYPE vector USING omen_hnsw AS
	OPERATOR 1 <-> (vector, vector) FOR ORDER BY float_ops,
	FUNCTION 1 vector_dims(vector);
-- core knows the number of support functions
CREATE OPERATOR CLASS second_function FOR TYPE vector USING omen_hnsw AS
	OPERATOR 1 <-> (vector, vector) FOR ORDER BY float_ops,
	FUNCTION 1 omen_hnsw_vector_l2_support(internal),
	FUNCTION 2 omen_hnsw_vector_l2_support(internal);

SELECT opcname, amvalidate(opc.oid)
FROM pg_opclass AS opc JOIN pg_am AS am ON am.oid = opc.opcmethod
WHERE am.amname = 'omen_hnsw' AND opcname ~ '_(function|operator|order)$'
ORDER BY opcname;

-- the operator and the function cannot be taken away
ALTER OPERATOR FAMILY vector_l2_ops USING omen_hnsw DROP OPERATOR 1 (vector, vector);

DROP OPERATOR FAMILY no_function USING omen_hnsw;
DROP OPERATOR FAMILY no_operator USING omen_hnsw;
DROP OPERATOR FAMILY search_operator USING omen_hnsw;
DROP OPERATOR FAMILY second_operator USING omen_hnsw;
DROP OPERATOR FAMILY wrong_order USING omen_hnsw;
DROP OPERATOR FAMILY wrong_function USING omen_hnsw;
