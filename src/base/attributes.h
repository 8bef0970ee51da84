/*
 * attributes.h - compiler attributes with a name that says why.
 */
#ifndef OMENDB_BASE_ATTRIBUTES_H
#define OMENDB_BASE_ATTRIBUTES_H

/*
 * For the few functions whose plain stores race with readers on purpose, where
 * a torn value is harmless. Never on a function that publishes an address.
 */
#define OMENDB_TORN_WRITES_ARE_FINE __attribute__((no_sanitize("thread")))

/* Integers of a page, wherever they lie in memory of another type. */
#define OMENDB_MAY_ALIAS __attribute__((may_alias))

#endif
