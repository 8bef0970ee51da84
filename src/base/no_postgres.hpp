/*
 * no_postgres.hpp - the last include of a header that must not depend on the
 * server: fails where postgres.h came first, so the compiler keeps the border.
 */
#ifdef POSTGRES_H
#error "this header belongs to the Postgres-free core: include it without postgres.h"
#endif
