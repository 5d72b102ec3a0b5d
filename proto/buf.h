/* SPDX-License-Identifier: MIT */
#ifndef PROTO_BUF_H
#define PROTO_BUF_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * A growing string of bytes.  Replies of fixed shape are printed into one of
 * these: building jansson values only to print them is most of a request's
 * cost.  Zero-initialise it; buf_fini() when done.  Growth aborts when memory
 * is out, so bound what comes from a peer before.
 */
struct buf {
	char *data; /* owns; not terminated unless buf_terminate() was called */
	size_t len;
	size_t size;
};

void buf_fini(struct buf *b);
void buf_grow(struct buf *b, size_t more_bytes); /* beyond what there is room for */

/* Here for the compiler: what is added is short, and most of it is known to it. */
static inline void buf_reserve(struct buf *b, size_t more_bytes)
{
	if (b->size - b->len < more_bytes)
		buf_grow(b, more_bytes);
}

static inline void buf_add(struct buf *b, const void *data, size_t len)
{
	if (len == 0)
		return;
	buf_reserve(b, len);
	memcpy(b->data + b->len, data, len);
	b->len += len;
}

static inline void buf_addc(struct buf *b, char c)
{
	buf_reserve(b, 1);
	b->data[b->len++] = c;
}

static inline void buf_adds(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Decimal, faster than printf. */
void buf_addi(struct buf *b, int64_t value);
/* Make data[len] a NUL without counting it; returns data. */
char *buf_terminate(struct buf *b);
/* Forget the first @n bytes. */
void buf_consume(struct buf *b, size_t n);
/* Hand the bytes (terminated) to the caller, who frees them; @b is empty then. */
char *buf_steal(struct buf *b, size_t *ret_len);

/* A JSON string with its quotes; @s is valid UTF-8.  NULL prints null. */
void buf_add_json_string(struct buf *b, const char *s);
void buf_add_json_stringn(struct buf *b, const char *s, size_t len);
/*
 * Any jansson value, compact, keys in their order.  NULL prints null.  The
 * value is a tree (no loops).  Reals are printed as short as they read back
 * the same.  This is the canonical text of a value: what is stored and
 * compared is printed by it.
 */
void buf_add_json(struct buf *b, const json_t *value);

/* Where jansson has to print (into a stream), the project prints with these. */
#define BUF_JSON_DUMP_FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(15))
/* The same as a terminated string of its own; the caller frees it. */
char *buf_json_text(const json_t *value);

/* One step of a JSON pointer (RFC 6901): "/", and @name with "~" and "/" as it spells them. */
void buf_add_pointer_step(struct buf *b, const char *name);

#endif
