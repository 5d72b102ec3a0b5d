/* SPDX-License-Identifier: MIT */
#ifndef CLIENT_FEED_H
#define CLIENT_FEED_H

#include "client/verb.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define FEED_FROM_NOW INT64_C(-1)

/*
 * What happens to jobs, event by event, over restarts of the daemon too: after
 * a lost connection it goes on behind the last event that was seen.
 */
struct feed {
	struct client *client;
	const json_t *jobs;  /* borrowed; a list of ids, NULL = all */
	const json_t *kinds; /* borrowed; NULL = all */
	int64_t since;	     /* FEED_FROM_NOW, or a number; then the last that was seen */
	bool stops_at_signal;
	/*
	 * The event's parameters; may come while other calls wait for their
	 * answer.  False: enough, feed_run() returns.
	 */
	bool (*on_event)(struct feed *feed, const json_t *event);
	void *arg;
	bool is_over; /* on_event has said so, or a signal came */
};

/* Subscribe.  STATUS_OK, or a status after saying what is wrong. */
int feed_open(struct feed *f);
/* Take events until it is over, or until the instant @until_us of mono_now_us() (-1 = never). */
int feed_run(struct feed *f, int64_t until_us);

/*
 * Show @see job @id as it is now, and again at each change and progress, until it
 * says false or the job is gone.  STATUS_OK, or a status after saying what is wrong.
 */
int job_follow(struct client *client, int64_t id, bool (*see)(void *arg, const json_t *job),
	       void *arg);

#endif
