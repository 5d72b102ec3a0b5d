/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_RPC_DISPATCH_H
#define DAEMON_RPC_DISPATCH_H

#include "daemon/rpc/conn.h"
#include "proto/err.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * From lines to handlers and back: envelope, batches, look-up, permission and
 * parameters of each request, and the answer of each call.  See rpc.h for the
 * side that the methods see.
 */

/* Handle one line of @c (borrowed until this returns): a request, or the beginning of a batch
 * (c->batch). */
void dispatch_line(struct conn *c, const char *line, size_t len);
/* A line of @len bytes has to wait until the large one that is being handled is over. */
bool dispatch_must_wait(size_t len);
/* Handle the next request of c->batch; the last one clears it. */
void dispatch_batch_step(struct conn *c);
/* Handle c->held, whose turn has come. */
void dispatch_held(struct conn *c);
/* An error that answers no request: its id is null. */
void dispatch_error(struct conn *c, const struct aw_err *err);

/* Is there a call of @c that will be answered soon, not only when jobs come that far? */
bool dispatch_has_due(const struct conn *c);
/* @c is about to be freed: its calls go on without it. */
void dispatch_conn_gone(struct conn *c);
/* @c takes output again: wake who waits for that. */
void dispatch_conn_writable(struct conn *c);

struct dispatch_stats {
	uint64_t n_requests; /* notifications included */
	uint64_t n_errors;   /* answered with an error */
	size_t n_calls;	     /* under way */
	size_t n_idle;	     /* of them, those that wait for what may never come */
	size_t n_heavy;	     /* large lines that a helper thread parses or frees */
};
void dispatch_stats(struct dispatch_stats *ret);

#endif
