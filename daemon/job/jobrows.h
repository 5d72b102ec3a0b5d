/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_JOB_JOBROWS_H
#define DAEMON_JOB_JOBROWS_H

#include "daemon/store/store.h"
#include "proto/jobdoc.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * From a checked document to the rows of it and its parts, as the store takes
 * them.  Pure.  The rows borrow nothing of it.
 */

struct jobrows {
	struct store_new_job *jobs; /* owns, with the texts in it; n of them */
	size_t n, size;
	uid_t uid;
	gid_t gid;
	struct instant at;    /* submitted */
	size_t *places;	      /* borrows; of the documents before, for needs like "@0" */
	bool is_inside_other; /* what is around the first one is not known: a part of a part */
};

/* Add the document @d, and behind it its parts.  Returns its place. */
size_t jobrows_add(struct jobrows *r, const struct jobdoc *d);
/*
 * Add the parts of @d, which are those of a further attempt (number @run_of) of the live job
 * @parent.  None of them needs an earlier document of a request.
 */
void jobrows_add_parts(struct jobrows *r, const struct jobdoc *d, int64_t parent, uint32_t run_of);
/* Free what the @n rows @jobs hold, and them.  Takes NULL. */
void jobrows_free(struct store_new_job *jobs, size_t n);

/* "delay" (>= 0) from @now, else the wall time "at"; none when both are in the past. */
struct instant jobrows_due(int64_t delay_us, int64_t at_ms, struct instant now);

#endif
