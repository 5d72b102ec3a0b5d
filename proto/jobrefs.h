/* SPDX-License-Identifier: MIT */
#ifndef PROTO_JOBREFS_H
#define PROTO_JOBREFS_H

#include "proto/buf.h"
#include "proto/err.h"
#include "proto/names.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Results flow: ${NAME:/json/pointer} in the strings of a document is another
 * job's result, or the value at that pointer (RFC 6901) in it; ${NAME:} is the
 * whole.  $${ is a literal ${.  Anything else that begins with ${ stands for
 * itself (a shell's ${HOME}, ${A:-b}).  A string that is one reference and
 * nothing else becomes the value, of whatever type; elsewhere a string's text
 * is put in, and every other value's JSON text.
 *
 * NAME is what a job may be called, without { and }.  It ends at the first
 * ":/" or ":}", and the pointer at the next "}", so that a key with a "}"
 * cannot be pointed at.  A pointer has at most JOB_POINTER_MAX_BYTES.
 *
 * References may stand in the values of the keys that the table marks with
 * JK_REFS: those of the job's own kind, "timeout" and "grace".  All others are
 * needed before the job can start.
 */

struct jobkey;

/* A reference or an escape in a text; borrows from it. */
struct jobrefs_match {
	const char *text; /* "${NAME:/pointer}" or "$${" */
	size_t len;
	bool is_escape;
	const char *name; /* of a reference */
	size_t name_len;
	const char *pointer; /* "" or with a "/" in front */
	size_t pointer_len;
};

/* The first of them at or behind @text, which has @len bytes.  False: there is none. */
bool jobrefs_find(const char *text, size_t len, struct jobrefs_match *ret);
/* Is there a reference (escapes do not count) in the string @value?  Not a string: no. */
bool jobrefs_has(const json_t *value);

/* A name of digits alone means the id of a needed job: true, and that (0 = it can be none). */
bool jobrefs_is_id(const char *name, size_t len, int64_t *ret_id);
/* Is it a JSON pointer?  Only its "~" can be wrong. */
bool jobrefs_is_pointer(const char *pointer, size_t len);

/* Where in a document a string is: each step knows the one before, up to the key. */
struct jobrefs_place {
	const struct jobrefs_place *up;
	const char *name; /* of a member; NULL = an item */
	size_t index;
};

/* Append it as a pointer. */
void jobrefs_add_path(struct buf *b, const struct jobrefs_place *place);

/*
 * Call @visit for the references and escapes in the normal form @value of
 * @key.  Ends at the first that returns other than 0, with that.
 */
typedef int jobrefs_visit(void *arg, const struct jobrefs_place *place,
			  const struct jobrefs_match *match);
int jobrefs_each(const struct jobkey *key, const json_t *value, jobrefs_visit *visit, void *arg);

/* The result that @name means: borrowed, or NULL when it means none. */
struct jobrefs_source {
	const json_t *(*look_up)(void *arg, const char *name, size_t len);
	void *arg;
};

/*
 * The normalised document @spec of a @kind with every reference replaced and
 * every escape undone; its parts' strings are left as they are.  What is put in
 * has at most JOB_RESULTS_MAX_BYTES, and the whole is no deeper than
 * PROTO_DEPTH_MAX.  Borrows the results, whose values the document may share.
 * Gives it, or NULL with AW_NEEDS and the facts "reference" and "pointer" (of
 * the string in the document, also in err->path) in @err.  Pure.
 *
 * It still has to be checked: see jobdoc_resolve(), which does both.
 */
json_t *jobrefs_resolve(enum job_kind kind, const json_t *spec, const struct jobrefs_source *source,
			struct aw_err *err);

#endif
