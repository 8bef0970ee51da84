/*
 * constants.hpp - what of an index never changes: parameters, mean, rotation.
 */
#ifndef OMENDB_STORE_CONSTANTS_HPP
#define OMENDB_STORE_CONSTANTS_HPP

#include "pg/postgres.hpp"

extern "C"
{
#include "storage/bufmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "store/pages.h"
}

#include "quant/space.hpp"

namespace omendb::store
{

/*
 * What never changes in an index, kept with its relcache entry: one chunk, as
 * rd_amcache must be. PostgreSQL frees it when the entry is invalidated, so
 * nobody keeps pointers into it.
 */
struct Constants
{
	OmendbMetaPage meta; /* the fields before entry */
	BlockNumber blocks;  /* no more than there are now */

	/* behind them: the mean, the signs of the rotation */

	static Size
	size(const OmendbMetaPage &m)
	{
		if (m.storage == (uint8_t) quant::Storage::Value)
			return sizeof(Constants);
		return sizeof(Constants) + m.input_dim * sizeof(float) + m.dim / 2;
	}

	float *
	mean()
	{
		return (float *) (this + 1);
	}

	uint8_t *
	signs()
	{
		return (uint8_t *) (mean() + meta.input_dim);
	}
};

/* They are read anew when the meta page is another than they were read with. */
inline Constants *
constants_of(Relation index, const OmendbMetaPage &meta)
{
	Constants *cached = (Constants *) index->rd_amcache;

	if (cached != nullptr)
	{
		if (memcmp(&cached->meta, &meta, offsetof(OmendbMetaPage, entry)) == 0)
			return cached;
		index->rd_amcache = nullptr;
		pfree(cached);
	}
	/* An error while reading must leave nothing in the relcache's memory. */
	Constants *read = (Constants *) palloc(Constants::size(meta));
	read->meta = meta;
	read->blocks = RelationGetNumberOfBlocks(index);
	/* Plain values have neither. */
	if (meta.storage != (uint8_t) quant::Storage::Value)
	{
		omendb_read_mean(index, &meta, read->mean());
		quant::make_signs(meta.seed, meta.dim, read->signs());
	}
	cached = (Constants *) MemoryContextAlloc(index->rd_indexcxt, Constants::size(meta));
	memcpy(cached, read, Constants::size(meta));
	pfree(read);
	index->rd_amcache = cached;
	return cached;
}

} // namespace omendb::store

#endif
