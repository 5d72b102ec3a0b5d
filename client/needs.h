/* SPDX-License-Identifier: MIT */
#ifndef CLIENT_NEEDS_H
#define CLIENT_NEEDS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/*
 * "@N" in the needs of documents from a file is the document N of the file,
 * counted from 0.  To the daemon it is one of the same request, and a file
 * goes in as many as it takes.
 */

/* How many there are in @doc and its parts; *ret_max is the largest N (-1 = none). */
size_t needs_count_places(const json_t *doc, int64_t *ret_max);

/*
 * @doc with each "@N" as the id ids[N], or for N >= @n_ids as the place in a
 * request whose first document is @first.  Gives a new value.
 */
json_t *needs_translated(const json_t *doc, int64_t first, const int64_t *ids, size_t n_ids);

#endif
