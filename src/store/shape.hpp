/*
 * shape.hpp - the core's view of a meta page.
 */
#ifndef OMENDB_STORE_SHAPE_HPP
#define OMENDB_STORE_SHAPE_HPP

#include "graph/record.hpp"
#include "store/layout.h"

namespace omendb::store
{

graph::Shape shape_of(const OmendbMetaPage &meta);

/* mean: input_dim floats, signs: dim / 2 bytes; both outlive the space. */
quant::Space space_of(const OmendbMetaPage &meta, const float *mean, const uint8_t *signs);

} // namespace omendb::store

#endif
