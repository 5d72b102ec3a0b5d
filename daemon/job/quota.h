/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_JOB_QUOTA_H
#define DAEMON_JOB_QUOTA_H

#include "daemon/job/job.h"
#include "proto/err.h"

#include <stddef.h>
#include <stdint.h>

/*
 * What each user has in unfinished jobs and in their documents, against what
 * they may have (R4.8: conf->quota_jobs, conf->quota_bytes; root may have
 * anything).  Counted from the submit on, before it is durable, so that
 * requests in flight cannot exceed it together.
 */
struct quota_use {
	uint64_t n_jobs, n_bytes;
};

/*
 * Count @want for @uid: 0, or -EINVAL with the error "limit" and nothing counted.  @err NULL:
 * whatever the limit is.
 */
int quota_reserve(uid_t uid, struct quota_use want, struct aw_err *err);
void quota_release(uid_t uid, struct quota_use use);

/* @job exists now, with a document of @n_bytes that was reserved for it. */
void quota_hand_over(struct job *job, size_t n_bytes);
/* Count @job and its document, without asking: it is there already. */
void quota_charge(struct job *job, size_t n_bytes);
/* @job is over: give back what was counted for it, if anything was. */
void quota_uncharge(struct job *job);

struct quota_use quota_used(uid_t uid);
void quota_fini(void);

#endif
