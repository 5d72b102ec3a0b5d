/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/quota.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>

#include "daemon/conf.h"
#include "proto/units.h"
#include "proto/xalloc.h"

struct user {
	struct user *next;
	uid_t uid;
	struct quota_use use;
};

/* Those who have something; first the one that was asked for last, who mostly asks again. */
static struct user *users;

static struct user *find(uid_t uid)
{
	for (struct user **at = &users; *at; at = &(*at)->next) {
		struct user *u = *at;

		if (u->uid != uid)
			continue;
		*at = u->next;
		u->next = users;
		users = u;
		return u;
	}
	return NULL;
}

static void add(uid_t uid, struct quota_use use)
{
	struct user *u = find(uid);

	if (!u) {
		u = xcalloc(1, sizeof(*u));
		u->uid = uid;
		u->next = users;
		users = u;
	}
	u->use.n_jobs += use.n_jobs;
	u->use.n_bytes += use.n_bytes;
}

struct quota_use quota_used(uid_t uid)
{
	const struct user *u = find(uid);

	return u ? u->use : (struct quota_use){ 0 };
}

static int refuse(struct aw_err *err, const char *quota, uint64_t used, int64_t max)
{
	aw_err_fact(err, "quota", json_string(quota));
	aw_err_fact(err, "used", json_integer((json_int_t)used));
	aw_err_fact(err, "max", json_integer(max));
	return -EINVAL;
}

static int refuse_jobs(struct aw_err *err, uint64_t used)
{
	aw_fail(err, AW_LIMIT,
		"you have %" PRIu64 " unfinished jobs, and a user may have %" PRId64
		" (setting quotas.unfinished_jobs): wait until some have ended, or cancel some",
		used, conf->quota_jobs);
	return refuse(err, "unfinished_jobs", used, conf->quota_jobs);
}

static int refuse_bytes(struct aw_err *err, uint64_t used)
{
	struct buf have = { 0 }, may = { 0 };

	size_format((int64_t)used, &have);
	size_format(conf->quota_bytes, &may);
	aw_fail(err, AW_LIMIT,
		"the documents of your unfinished jobs take %s, and a user's may take %s (setting "
		"quotas.document_bytes): wait until some have ended, or submit less at once",
		buf_terminate(&have), buf_terminate(&may));
	buf_fini(&have);
	buf_fini(&may);
	return refuse(err, "document_bytes", used, conf->quota_bytes);
}

static bool exceeds(uint64_t used, uint64_t more, int64_t max)
{
	return max > 0 && used + more > (uint64_t)max;
}

int quota_reserve(uid_t uid, struct quota_use want, struct aw_err *err)
{
	struct quota_use used = quota_used(uid);

	bool is_limited = uid != 0 && err;

	if (is_limited && exceeds(used.n_jobs, want.n_jobs, conf->quota_jobs))
		return refuse_jobs(err, used.n_jobs);
	if (is_limited && exceeds(used.n_bytes, want.n_bytes, conf->quota_bytes))
		return refuse_bytes(err, used.n_bytes);
	add(uid, want);
	return 0;
}

void quota_release(uid_t uid, struct quota_use use)
{
	struct user *u = find(uid);

	assert(u && u->use.n_jobs >= use.n_jobs && u->use.n_bytes >= use.n_bytes);
	u->use.n_jobs -= use.n_jobs;
	u->use.n_bytes -= use.n_bytes;
	if (u->use.n_jobs)
		return;
	assert(!u->use.n_bytes && users == u);
	users = u->next;
	free(u);
}

void quota_hand_over(struct job *job, size_t n_bytes)
{
	job->spec_bytes = (uint32_t)n_bytes;
	job->is_counted = true;
}

void quota_charge(struct job *job, size_t n_bytes)
{
	add(job->uid, (struct quota_use){ 1, n_bytes });
	quota_hand_over(job, n_bytes);
}

void quota_uncharge(struct job *job)
{
	if (job->is_counted)
		quota_release(job->uid, (struct quota_use){ 1, job->spec_bytes });
	job->is_counted = false;
}

void quota_fini(void)
{
	while (users) {
		struct user *u = users;

		users = u->next;
		free(u);
	}
}
