/* SPDX-License-Identifier: MIT */
#ifndef PROTO_JOBVALUE_H
#define PROTO_JOBVALUE_H

#include "proto/err.h"
#include "proto/jobkeys.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* The values of a job document, one key at a time: jobdoc.c's other half. */

/* Where in a document we are, for errors. */
struct jobvalue_place {
	const char *prefix; /* pointer to the document */
	struct aw_err *err;
	const struct jobkey *key;
	enum job_kind kind;
	const char *member; /* of a map; NULL = none */
	size_t index;	    /* of a list; JOBVALUE_NO_INDEX = none */
};

#define JOBVALUE_NO_INDEX SIZE_MAX

/*
 * Check @value against place->key and give its normal form: a new value, or a
 * new reference to @value where that is normal already.  NULL with AW_PARAMS
 * or AW_UNSUPPORTED in place->err.
 */
json_t *jobvalue_normal(struct jobvalue_place *place, const json_t *value);

/* Fill place->err for the key @name (and the item of it that place names).  Always -EINVAL. */
int jobvalue_fail(const struct jobvalue_place *place, enum aw_code code, const char *name,
		  const char *text);

/* Does the normal @value of @key hold something that others must not see? */
bool jobvalue_is_secret(const struct jobkey *key, const json_t *value);
/* @value with what is secret in it as "***".  Gives it. */
json_t *jobvalue_masked(const struct jobkey *key, json_t *value);

#endif
