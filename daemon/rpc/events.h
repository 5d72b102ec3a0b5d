/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_RPC_EVENTS_H
#define DAEMON_RPC_EVENTS_H

#include "daemon/rpc/rpc.h"

#include <stddef.h>
#include <stdint.h>

/*
 * What happens to jobs, told to connections that have subscribed.
 *
 * A subscription is a place in the store's numbered events.  When there is
 * something behind it, and its connection takes more, it reads a page and
 * passes it on.  So a reader may be as slow as it likes and costs no memory,
 * nothing is left out, and the number that a reader saw last is where it goes
 * on after a restart of either side.
 */

#define EVENTS_FROM_NOW INT64_C(-1)

/* What a subscriber wants to know. */
struct events_wish {
	int64_t since; /* what has a higher number; or EVENTS_FROM_NOW */
	int64_t *jobs; /* only these and their parts; @n_jobs of them, 0 = all */
	size_t n_jobs;
	unsigned kinds; /* 1u << kind; 0 = all */
};

/*
 * Subscribe the connection of @call, in place of the subscription that it
 * has.  Finishes @call, which has been told rpc_later().  Takes wish->jobs.
 */
void events_subscribe(struct rpc_call *call, const struct events_wish *wish);
/* Harmless for a connection that has none. */
void events_unsubscribe(struct conn *c);

/* All who read have been told everything that has happened so far. */
bool events_are_told(void);

/* How many connections are subscribed. */
size_t events_n_subscribers(void);

#endif
