/* SPDX-License-Identifier: MIT */
#ifndef PROTO_JOBVALUE_H
#define PROTO_JOBVALUE_H

#include "proto/buf.h"
#include "proto/err.h"
#include "proto/jobkeys.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* The values of a job document, one key at a time: jobdoc.c's other half. */

/*
 * Where in a document we are, for errors: the key, and in its value the
 * member, the item and the field that are looked at, each if there is one.
 */
struct jobvalue_place {
	const struct jobvalue_place *up; /* of a part: the composition it belongs to */
	size_t part;			 /* of a part: which one of it */
	const char *prefix;		 /* pointer to the document; of a part, to the whole's */
	struct aw_err *err;
	const struct jobkey *whole; /* the key whose member .key is; NULL = it is none */
	const struct jobkey *key;
	enum job_kind kind;
	bool is_resolved;   /* what looks like a reference is text */
	size_t n_before;    /* documents before this one in the same request, for "@N" */
	const char *member; /* of a map; NULL = none */
	size_t index;	    /* of a list; JOBVALUE_NO_INDEX = none */
	const char *field;  /* of an object in a list; NULL = none */
};

#define JOBVALUE_NO_INDEX SIZE_MAX

/*
 * Check @value against place->key and give its normal form: a new value, or a
 * new reference to @value where that is normal already.  NULL with AW_PARAMS,
 * AW_UNSUPPORTED or AW_LIMIT in place->err.  Not for JK_PARTS.
 */
json_t *jobvalue_normal(struct jobvalue_place *place, const json_t *value);

/* Fill place->err for the key @name (and what in it place names).  Always -EINVAL. */
int jobvalue_fail(const struct jobvalue_place *place, enum aw_code code, const char *name,
		  const char *text);
/* The same for place->key, whose name stands in front of @fmt: "must be ...".  Always -EINVAL. */
int jobvalue_refuse(const struct jobvalue_place *place, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Append the pointer to @name (NULL = the document itself), and to what in it place names. */
void jobvalue_add_path(struct buf *path, const struct jobvalue_place *place, const char *name);

/* Does the normal @value of @key hold something that others must not see? */
bool jobvalue_is_secret(const struct jobkey *key, const json_t *value);
/* @value with what is secret in it as "***".  Gives it. */
json_t *jobvalue_masked(const struct jobkey *key, json_t *value);

#endif
