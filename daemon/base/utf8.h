/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_BASE_UTF8_H
#define DAEMON_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes that may or may not be text: what jobs write, what peers send. */

/*
 * The length of the character @s begins with: 1 ... 4; 0 if these bytes begin
 * none; -1 if they could, but @n_bytes end before it does.  Overlong forms,
 * surrogates and what lies above U+10FFFF are no characters.
 */
int utf8_char(const char *s, size_t n_bytes);

/* The length of the longest prefix of @s that is whole, valid characters. */
size_t utf8_prefix(const char *s, size_t n_bytes);

/* All of @s is valid and has no NUL: it can stand in a JSON string that every parser takes. */
bool utf8_is_text(const char *s, size_t n_bytes);

/* How many bytes at the end of @s are the beginning of a character that is not all there: 0 ... 3.
 */
size_t utf8_cut_tail(const char *s, size_t n_bytes);

/* The length of @s, at most @max_bytes, ending between two characters. */
size_t utf8_bounded(const char *s, size_t max_bytes);

#endif
