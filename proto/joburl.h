/* SPDX-License-Identifier: MIT */
#ifndef PROTO_JOBURL_H
#define PROTO_JOBURL_H

#include <jansson.h>
#include <stdbool.h>

/* The "url" of a fetch: whether it can be one, and who is named in it. */

/*
 * NULL if @text (without spaces and control characters) can be fetched, else
 * what is wrong with it: a constant that stands behind the key's name.
 */
const char *joburl_check(const char *text);
/* May there be a user part in @value, which others must not see? */
bool joburl_is_secret(const json_t *value);
/* The URL with "***" for its user part, or for all of what is no URL.  Gives it. */
json_t *joburl_masked(json_t *value);

#endif
