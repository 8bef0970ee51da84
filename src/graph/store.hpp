/*
 * store.hpp - what the graph algorithms ask of whatever holds the records.
 *
 * Search, selection and insertion are templates over a Store, so that page
 * access inlines. A Store has:
 *
 *   const quant::Space &space() const;
 *   const Shape &shape() const;
 *
 *   const uint8_t *begin_read(Address a, Address next)
 *       The record's bytes until end_read(), or nullptr when a cannot be
 *       followed (a stale link): a wasted hop, never an error. At most one
 *       record is being read at a time. next: who will probably be read after
 *       it, to be fetched meanwhile, or kNoAddress.
 *   void end_read();
 *   const uint8_t *glance(Address a)
 *   bool glanced(Address a)
 *       The record's bytes, unprotected, or nullptr where only begin_read() will do:
 *       for a distance that is computed again when the node is expanded. glanced()
 *       says afterwards whether they were the record's; if not, begin_read(). Until
 *       then they may be any, which only values of one length withstand. Not between
 *       begin_read() and end_read().
 *   uint32_t ahead() const;
 *   void ask(Address a);
 *       Whether pages come from a disk now, and so many candidates should be asked
 *       for ahead of time; 0: all is in memory. a may be kNoAddress.
 *   void poll();
 *       Called between hops with nothing held; may not return (longjmp).
 *
 *   float search_distance(const quant::Query &query, const uint8_t *record)
 *
 * For insertion also:
 *
 *   const uint8_t *record(Address a);  stable bytes without begin_read, or NULL
 *   void prefetch(Address a);          the whole record
 *   void prefetch_vector(Address a);   header and vector
 *   void set_row(stored, meta);        the row search_distance() is from
 *   uint8_t *new_record(Address a);    of allocate(), known to nobody yet
 *   uint8_t *begin_write(Address a);  a record under its writer's lock: no
 *   void end_write(Address a);        allocation, no poll, one at a time
 *   Address allocate(uint32_t level); a slot that was reserved beforehand
 *   bool add_tid(Address a, const Row &row);  false: this node takes no more
 *   entry(), set_entry(), root(), set_root(); lock_entry() and unlock_entry()
 *   serialise the few inserts that change the entry point.
 */
#ifndef OMENDB_GRAPH_STORE_HPP
#define OMENDB_GRAPH_STORE_HPP

#include "graph/record.hpp"

namespace omendb::graph
{

struct EntryPoint
{
	Address address; /* kNoAddress: the index is empty */
	uint32_t level;
};

/* A row on its way in: what is stored of it besides its vector. */
struct Row
{
	Tid tid;
	uint32_t hash; /* of the type's own bytes */
	float residual;
};

} // namespace omendb::graph

#endif
