/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_KINDS_XFERRANGE_H
#define DAEMON_KINDS_XFERRANGE_H

#include "daemon/kinds/xfer.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Asking for the rest of something of which the beginning is there: what an
 * answer's head says about that (RFC 9110, 8.8, 13.1.5, 14 and 15.3.7).
 */

/*
 * What may stand in If-Range to ask for the rest of this answer later: a strong
 * entity tag, or a date that is a strong validator.  @etag and the others are the
 * values of its headers, NULL = absent.  One of the arguments, or NULL: the rest cannot be
 * asked for.
 */
const char *xferrange_pick(const char *etag, const char *last_modified, const char *date);

/* The same from the head of @easy's answer, a copy to free.  NULL also when it is encoded. */
char *xferrange_validator(CURL *easy);

/*
 * Is @content_range ("bytes 5-9/10") from the first byte that is missing to the last one?
 * Gives the size of all.
 */
bool xferrange_fits(const char *content_range, const struct xfer_rest *rest, int64_t *ret_total);

/* Is @easy's answer, a 206, the rest that was asked for, of the same thing? */
bool xferrange_is_rest(CURL *easy, const struct xfer_rest *rest, int64_t *ret_total);

#endif
