/* SPDX-License-Identifier: MIT */
#ifndef PROTO_QUICK_H
#define PROTO_QUICK_H

#include <jansson.h>
#include <stddef.h>

/*
 * Parse a line of JSON of the plain kind that programs write, several times
 * faster than the library does.  Gives exactly the value that json_loadb()
 * would with JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, within the limits of
 * proto/limits.h.
 *
 * NULL: it is not plain.  Whether it is wrong (and how), beyond a limit, or
 * only unusual (reals, \u escapes) is the library's to say: ask that.
 */
json_t *quick_parse(const char *text, size_t len);

/* A text of whatever sort: what is not plain the library reads.  NULL: it is no JSON. */
json_t *quick_load(const char *text);

#endif
