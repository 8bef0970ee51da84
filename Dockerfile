# omendb in PostgreSQL's official image.
#
# Untested: where it was written there was no container engine to run it. What it
# does is what README.md says of an installation from source, which is tested.
#
#   docker build -t omendb .
#   docker run --name omendb -e POSTGRES_PASSWORD=... -p 5432:5432 --shm-size=1g omendb
#
# Parallel builds share memory through /dev/shm, of which a container has 64 MB
# unless --shm-size says more; beyond, a build uses temporary files.
FROM postgres:15-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends make gcc g++ libsimde-dev \
        postgresql-server-dev-15
WORKDIR /omendb
COPY Makefile omendb.control ./
COPY sql sql
COPY src src
RUN make -s -j"$(nproc)" PG_CONFIG=/usr/lib/postgresql/15/bin/pg_config \
    && make -s install DESTDIR=/out PG_CONFIG=/usr/lib/postgresql/15/bin/pg_config

FROM postgres:15-bookworm
COPY --from=build /out/ /
