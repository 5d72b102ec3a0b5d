/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_KINDS_PARTIAL_H
#define DAEMON_KINDS_PARTIAL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * What one attempt of a fetch leaves to the next besides the bytes: how to
 * ask for the rest of the same thing, and how many of the bytes are sure to be what
 * came.  Pure.
 */
struct partial {
	char *validator;      /* owns; for If-Range; NULL = nothing can be gone on with */
	char *url;	      /* owns; the effective one, as it is shown */
	char *content_type;   /* owns; NULL = none */
	char *file;	      /* owns; which file has the bytes, see dest.h */
	char *boot;	      /* owns; the boot in which it was written down */
	int64_t total_bytes;  /* -1 = not told */
	int64_t synced_bytes; /* so many are on the disk */
};

/* From what was saved.  false, and nothing in @ret, when that makes no sense. */
bool partial_load(const json_t *saved, struct partial *ret);
/* What is to be saved.  Gives it. */
json_t *partial_dump(const struct partial *p);
void partial_fini(struct partial *p);

/*
 * How many bytes of @file, which has @size_bytes now, may be built on, in boot
 * @boot; 0 = none.  @p tells of these from now on.
 */
int64_t partial_use(struct partial *p, const char *file, int64_t size_bytes, const char *boot);

#endif
