/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_RPC_METHODS_METHODS_H
#define DAEMON_RPC_METHODS_METHODS_H

#include "daemon/job/viewer.h"
#include "daemon/rpc/rpc.h"
#include "daemon/store/store.h"
#include "proto/buf.h"
#include "proto/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The descriptors, each beside its handler; rpc/methods.c lists them. */
extern const struct rpc_method method_daemon_backup, method_daemon_info, method_daemon_stats,
	method_daemon_reload, method_daemon_shutdown;
extern const struct rpc_method method_job_submit, method_job_submit_many, method_job_get,
	method_job_list, method_job_wait, method_job_cancel, method_job_remove, method_job_output;
extern const struct rpc_method method_job_why, method_job_hold, method_job_release,
	method_job_update, method_job_retry;
extern const struct rpc_method method_events_subscribe, method_events_unsubscribe;
extern const struct rpc_method method_queue_list, method_queue_set, method_queue_pause,
	method_queue_resume;
extern const struct rpc_method method_rpc_discover;

/* ---- what several of them share (reply.c) ---- */

/*
 * A query for @ids (borrowed until done).  @get is embedded in the caller's record.
 * @is_whole: long values too.
 */
void reply_query(struct store_get *get, const int64_t *ids, size_t n, bool is_whole,
		 void (*done)(struct store_op *op));
/* The record is there, and @viewer may know of it. */
bool reply_may_see(const struct store_job *rec, struct viewer viewer);
/* All return -EINVAL. */
int reply_not_found(struct aw_err *err, int64_t id);
int reply_store_failed(struct aw_err *err, int result);

/* The job objects of @recs, "," between them; those with id 0 are left out. */
void reply_add_jobs(struct buf *b, const struct store_job *recs, size_t n, struct viewer viewer);

/* One id's error in a reply that has them one by one; collected as the objects of a list. */
struct reply_errors {
	struct buf list;
	size_t n;
	struct aw_err first; /* what is answered when nothing could be done; facts moved here */
};
/* Takes what @err holds. */
void reply_add_error(struct reply_errors *e, int64_t id, struct aw_err *err);
void reply_errors_fini(struct reply_errors *e);
/*
 * Finish @call with {"jobs", "errors"}, or with the first error if nothing
 * could be done for any id.
 */
void reply_finish_each(struct rpc_call *call, const struct store_job *recs, size_t n,
		       struct reply_errors *e);

/* ---- filters (filter.c) ---- */


/* The words of a set, and the enum behind them. */
struct filter_words {
	const char *what;	  /* one of them: "state" */
	const char *const *words; /* ends with NULL */
	int (*parse)(const char *word);
};
extern const struct filter_words filter_states, filter_outcomes, filter_kinds;
/* The filter @key of words from a fixed set, as bits: 0 = there is none.  0 or -EINVAL. */
int filter_bits(const json_t *params, const char *key, const struct filter_words *words,
		unsigned *ret, struct aw_err *err);
/*
 * A filter of free text, as a NULL-terminated array that borrows from @params;
 * the caller frees it.  0 or -EINVAL.
 */
int filter_texts(const json_t *params, const char *key, const char ***ret, struct aw_err *err);

#endif
