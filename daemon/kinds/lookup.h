/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_KINDS_LOOKUP_H
#define DAEMON_KINDS_LOOKUP_H

#include "daemon/base/list.h"
#include "daemon/base/now.h"
#include "daemon/co/await.h"
#include "proto/xalloc.h"

#include <stdbool.h>

#define LOOKUPS_MAX 32

/*
 * Places for name look-ups (R4.10).  libcurl makes a thread for each, so at
 * most LOOKUPS_MAX may be under way; the others wait for a place, in order.
 * Embed it, zeroed.
 */
struct lookup {
	struct list link;	  /* private */
	struct signal_flag *flag; /* private; borrowed while waiting */
	bool is_held;
};

/*
 * Take a place; @flag wakes the caller.  Yields only if all are taken.
 * 0, -ETIMEDOUT or -ECANCELED.
 */
MUST_USE int co_lookup_begin(struct lookup *l, struct signal_flag *flag, struct mono deadline);

/* The name is known, or was not needed: the place goes to the next.  No-op when none is held. */
void lookup_end(struct lookup *l);

/* The look-up goes on without us: the place stays taken until its thread must have given up. */
void lookup_abandon(struct lookup *l);

/* At shutdown: forget what was abandoned. */
void lookup_fini(void);

#endif
