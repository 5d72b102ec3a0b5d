/* SPDX-License-Identifier: MIT */
#ifndef CLIENT_FOLLOW_H
#define CLIENT_FOLLOW_H

#include "client/verb.h"

#include <stdbool.h>
#include <stdint.h>

/* A job's output, to ours. */
struct follow {
	struct client *client;
	int64_t id;
	int64_t attempt;     /* 0 = the latest, or the first when there is none yet */
	const char *stream;  /* "both", "stdout", "stderr" */
	int64_t offset;	     /* where to begin; then how far it got */
	bool is_split;	     /* its standard error goes to ours; else all to standard output */
	bool tells_attempts; /* a remark where a further attempt begins */
	/* private */
	bool is_pinned; /* attempt has begun, and is the one that offset counts in */
	bool has_got;	/* anything since the last connection */
};

/* What there is now, page by page.  STATUS_OK, or a status after saying what is wrong. */
int output_copy(struct follow *f);
/* The same, then what comes, until the attempt has ended; over a restart of the daemon too. */
int output_follow(struct follow *f);
/* The same for this attempt and all that come after it, until the job is done. */
int output_follow_job(struct follow *f);

/* Decode; the caller frees *ret.  0, or -EINVAL for what is no base64. */
int base64_decode(const char *text, size_t len, char **ret, size_t *ret_len);

#endif
