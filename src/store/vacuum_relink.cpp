/*
 * vacuum_relink.cpp - step 6: new neighbours for the lists that step 3 left thin.
 *
 * Where most of the nodes around have gone, their records have little to offer. What
 * is left is searched as by an insertion instead, record by record, those above level 0
 * first, which the others' searches come by. Nothing is dead any more, and nothing dies
 * meanwhile: VACUUM alone makes records dead. Insertions may be at work.
 */
#include "store/vacuum_state.hpp"

extern "C"
{
#include "store/insert.h"
}

namespace omendb::store::vacuum
{

void
relink_thin(Vacuum *vacuum)
{
	if (vacuum->thin.count() == 0)
		return;
	OmendbInsert *insert = omendb_insert_create(vacuum->index);
	for (bool above : {true, false})
	{
		for (BlockNumber block = 0; block < vacuum->thin.blocks(); block++)
		{
			for (uint32_t slot = 0; slot < vacuum->shape.slots; slot++)
			{
				Address address = make_address(block, slot);
				if (!vacuum->thin.test(address))
					continue;
				omendb_vacuum_delay_point();
				omendb_insert_relink(insert, vacuum->index, address, above);
			}
		}
	}
}

} // namespace omendb::store::vacuum
