/* SPDX-License-Identifier: MIT */
#ifndef PROTO_UNITS_H
#define PROTO_UNITS_H

#include "proto/buf.h"

#include <jansson.h>
#include <stdint.h>

/*
 * Durations, times and sizes as people write them.  Pure: no clock is read.
 * All parsers return 0, or -EINVAL with a sentence in @ret_why (a constant)
 * that fits behind the name of the place.
 */

/*
 * "1h 30min", "250ms", "2d", "1.5", "1month": a systemd time span
 * (systemd.time(7)); a bare number is seconds.  A year has 365.25 days, a
 * month is a twelfth of it.  0 ... 10 years, in microseconds (finer fractions
 * are rounded).
 */
int duration_parse(const char *text, int64_t *ret_us, const char **ret_why);
/* The same from JSON: a number (seconds) or such a string. */
int duration_from_json(const json_t *value, int64_t *ret_us, const char **ret_why);
/*
 * Seconds as JSON prints them: an integer where it is whole, else a real that
 * prints short (0.25) with buf_add_json() or BUF_JSON_DUMP_FLAGS.  Gives the
 * value.
 */
json_t *duration_to_json(int64_t us);
/*
 * For people: "1h 30min", "250ms", "1.5s".  Exact: duration_parse() reads it
 * back.  Appends to @b.
 */
void duration_format(int64_t us, struct buf *b);

/*
 * RFC 3339 with an offset ("2026-11-20T10:00:00Z", "...+01:00", fractions
 * allowed and cut to milliseconds).  No offset, ":60" and impossible dates
 * are errors.  Milliseconds since 1970 UTC, negative before; years 0 ... 9999.
 */
int time_parse(const char *text, int64_t *ret_ms, const char **ret_why);
/*
 * "2026-11-20T10:00:00.000Z".  What is outside the years 0 ... 9999 is
 * shown as the nearest that is inside.
 */
#define TIME_TEXT_BYTES 32
void time_format(int64_t ms, char out[TIME_TEXT_BYTES]);

/* A number of bytes, or "10M" (K, M, G, T: powers of 1024; "B" and "iB" may follow). 0 ... 2^53. */
int size_parse(const char *text, int64_t *ret_bytes, const char **ret_why);
int size_from_json(const json_t *value, int64_t *ret_bytes, const char **ret_why);
/* For people: "1.4 MiB".  Appends to @b. */
void size_format(int64_t bytes, struct buf *b);

#endif
