/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_JOB_NEEDED_H
#define DAEMON_JOB_NEEDED_H

#include "daemon/job/engine.h"

/*
 * What the documents of a submission say about other jobs: are those that
 * they need there, and does every reference name one of them?
 */
struct needed;

/*
 * Look the needed jobs up where that takes the store; then done(s, result): 0
 * or -EINVAL with s->err, whose path is within the documents.  It may come before this
 * returns.
 */
void needed_check(struct submission *s, void (*done)(struct submission *s, int result));
/* How job @id had ended when it was looked up; JOB_UNENDED if it had not, or is not known. */
enum job_outcome needed_outcome(const struct submission *s, int64_t id);
void needed_free(struct needed *n); /* takes NULL */

#endif
