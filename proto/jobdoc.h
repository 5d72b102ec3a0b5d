/* SPDX-License-Identifier: MIT */
#ifndef PROTO_JOBDOC_H
#define PROTO_JOBDOC_H

#include "proto/err.h"
#include "proto/jobrefs.h"
#include "proto/names.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* What a job waits for: the end of another one. */
struct jobdoc_need {
	int64_t job;  /* its id; 0 = @place names it */
	size_t place; /* "@N": the document N of the same request, counted from 0 */
	enum need_on on;
};

/* Extra attempts after "failed" or "timed_out".  What was not given is -1, the daemon's setting. */
struct jobdoc_retry {
	unsigned max; /* 0 = none */
	int64_t delay_us, max_delay_us;
	double factor, jitter;
	const json_t *on; /* borrows from spec; NULL = whatever the error was */
};

/*
 * A string of the document that refers to another job's result, by name.  One
 * that an earlier part of a sequence around it answers is local: the nearest
 * level that has the name.  The others must be jobs that it, or a composition
 * around it, needs; ids are checked to be among them, names are the engine's
 * to look for (there are needs then).  A name of digits alone is always an id.
 */
struct jobdoc_ref {
	char *name;
	char *path; /* of the string, as a pointer into the whole document that was submitted */
	bool is_local;
};

/*
 * A job document, checked and normalised.
 *
 * Normalised means: the keys that were given, in the table's order, each in
 * its one canonical form (durations in seconds, sizes in bytes, times in UTC
 * with milliseconds, one form of "expect", lower-case checksums, methods in
 * upper case, maps sorted).  Defaults are not filled in.  Two documents that ask for the
 * same thing in the same words of the table normalise to the same bytes.  An idempotency
 * key compares these without what holds anyway (jobdefaults.h).
 */
struct jobdoc {
	enum job_kind kind;
	const char *name; /* borrows from spec; NULL = none */
	/* Borrows from spec; the kind's own if none was given; NULL for kinds without one. */
	const char *queue;
	const char *key; /* borrows from spec; NULL = none */
	json_t *tags;	 /* borrows from spec; NULL = none */
	int priority;
	bool has_delay, has_at;
	int64_t delay_us;
	int64_t at_ms;
	int64_t timeout_us;	  /* 0 = none */
	int64_t grace_us;	  /* -1 = the daemon's setting */
	enum job_on_lost on_lost; /* the kind's default filled in (by method for fetch) */
	bool has_secrets;	  /* something in spec is "***" to others */
	bool may_say_defaults;	  /* something in spec may be what holds without it, too */
	int64_t deadline_us;	  /* 0 = none */
	int64_t keep_us;	  /* -1 = the daemon's setting */
	struct jobdoc_retry retry;
	struct jobdoc_need *needs; /* owns */
	size_t n_needs;
	/*
	 * Its own strings (not its parts') hold ${NAME:/pointer} or the escape
	 * $${: jobrefs_resolve() before it starts, and check again.
	 */
	bool has_refs;
	struct jobdoc_ref *refs; /* owns; a name that is in a string twice may be there once */
	size_t n_refs;
	/* of a part */
	bool is_shielded;
	/* of a composition */
	struct jobdoc *parts; /* owns; their spec is a reference into ours */
	size_t n_parts;
	bool goes_on;	/* gather: a failure does not cancel the others */
	size_t n_limit; /* gather: parts that run at once; 0 = all */
	json_t *spec;	/* owns; the normalised document, parts included */
};

void jobdoc_fini(struct jobdoc *d);
/*
 * Let the values go, those of its parts too: what was borrowed from spec is
 * NULL then, numbers and flags stay.  jobdoc_fini() is due all the same.
 */
void jobdoc_let_go(struct jobdoc *d);

/*
 * Check @doc, a whole document with all its parts, against the table of keys
 * and normalise it.  Pure.  What only the daemon can know (paths, queues,
 * quotas, which jobs there are) is checked elsewhere.  @n_before: how many
 * documents come before it in the same request, which "@N" may name.
 * Borrows @doc, whose values ret->spec may share: put new ones into ret->spec,
 * never write into those that are there.  Returns 0, or -EINVAL
 * with code (AW_PARAMS, AW_UNSUPPORTED, AW_LIMIT), path (a pointer into @doc, @prefix
 * in front) and message in @err.
 */
int jobdoc_check(const json_t *doc, const char *prefix, size_t n_before, struct jobdoc *ret,
		 struct aw_err *err);

/*
 * Read a normalised document back, as the store kept it: a whole one or a
 * part, which does not know what is around it, so that its refs are not
 * looked at (is_local is what the document alone can tell).  A document that
 * does not fit (a damaged store) is an error (AW_DAMAGED), never an assertion.
 */
int jobdoc_load(const char *text, size_t len, struct jobdoc *ret, struct aw_err *err);

/*
 * @d as it is when its references are replaced by the results of @source, checked
 * again: for a document with has_refs, before each attempt.  Its own strings
 * hold no references then, those of its parts still do.  @d stays as it is;
 * *ret may share its values and those of the results.  0, or -EINVAL with
 * AW_NEEDS, path and the fact "pointer" (the key or string that is to blame) in @err.
 */
int jobdoc_resolve(const struct jobdoc *d, const struct jobrefs_source *source, struct jobdoc *ret,
		   struct aw_err *err);

/*
 * The document with every secret as "***", those of its parts too.  Gives a
 * new value (or a new reference where nothing is secret).
 */
json_t *jobdoc_masked(enum job_kind kind, json_t *spec);

/*
 * Typed readers for kinds: of a normalised document, so they do not fail;
 * @otherwise when the key is absent.
 */
int64_t jobdoc_duration_us(const json_t *spec, const char *key, int64_t otherwise);
int64_t jobdoc_integer(const json_t *spec, const char *key, int64_t otherwise);
const char *jobdoc_string(const json_t *spec, const char *key, const char *otherwise);
bool jobdoc_bool(const json_t *spec, const char *key, bool otherwise);

#endif
