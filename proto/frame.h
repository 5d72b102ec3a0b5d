/* SPDX-License-Identifier: MIT */
#ifndef PROTO_FRAME_H
#define PROTO_FRAME_H

#include "proto/err.h"

#include <jansson.h>
#include <stddef.h>

/*
 * One line of the protocol to JSON, strictly.
 *
 * What quick_parse() does not take is jansson's.  That needs stack by depth
 * and up to 79 times the text in heap, so a linear scan bounds depth and
 * number of values before it sees the text (design rule R4.6).  Duplicate
 * keys, NUL, bad UTF-8 and trailing text are errors.  Returns 0 and gives
 * *ret, or -EINVAL with AW_PARSE in @err.  Needs real stack (about 100 KiB at
 * full depth): never call it on a coroutine's.
 */
int frame_parse(const char *line, size_t len, json_t **ret, struct aw_err *err);

#endif
