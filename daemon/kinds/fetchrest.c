/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/kinds/fetch.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "daemon/base/list.h"
#include "daemon/co/await.h"
#include "daemon/job/jobdir.h"

/* A longer one is cut where it is shown, so that two of them could look the same. */
#define URL_MAX_BYTES 8000
/*
 * What is there already is hashed in steps of so much, some 20 ms: helper threads are few, and
 * a cancel waits for one step.
 */
#define HASH_STEP_BYTES (INT64_C(8) * 1024 * 1024)
#define READ_BYTES ((size_t)128 * 1024)

/*
 * How to go on is written down when a transfer is none of the quick ones, which
 * shall not pay for it; later, of what a crash of the machine shall not cost, as much as
 * came in a while.
 */
#define FIRST_NOTE_US 100000
#define NOTE_US 5000000
#define NOTE_BYTES (1024 * 1024)

/* ---- in the file ---- */

struct part_step {
	struct fetch *f;
	struct aw_err *err;
};

static int step_sync(void *arg)
{
	const struct part_step *s = arg;

	return dest_sync_part(&s->f->dest, s->err);
}

static int step_empty(void *arg)
{
	const struct part_step *s = arg;

	return dest_cut(&s->f->dest, 0, s->err);
}

/*
 * A body is an attempt's own, for all to read while it grows: what is there
 * becomes this one's when it is known that it stays.
 */
static int take_name(struct fetch *f, struct aw_err *err)
{
	cleanup_free char *path = jobdir_path(f->a->id, f->a->attempt, "body");
	int r = f->has_old_name ? dest_move(&f->dest, strrchr(path, '/') + 1, err) : 0;

	if (r == 0)
		f->has_old_name = false;
	return r;
}

static int step_take_name(void *arg)
{
	const struct part_step *s = arg;

	return take_name(s->f, s->err);
}

int fetchrest_look_at_file(struct fetch *f, int64_t *ret_bytes, struct aw_err *err)
{
	int64_t n = 0;
	int r = 0;

	if (f->partial.validator) {
		n = partial_use(&f->partial, f->dest.file, f->dest.there_bytes, now_boot_id());
		r = dest_cut(&f->dest, n, err);
	}
	if (r == 0 && n == 0)
		r = take_name(f, err);
	*ret_bytes = n;
	return r;
}

/* ---- what is stored ---- */

struct saving {
	struct fetch *f;
	json_t *record;
};

static void dump_partial(void *arg)
{
	struct saving *s = arg;

	s->record = partial_dump(&s->f->partial);
}

static void drop_record(void *arg)
{
	json_decref(arg);
}

/* Store how to go on.  0 or negative: what was stored before may hold still. */
static int co_note(struct fetch *f)
{
	struct saving s = { .f = f };
	int r;

	co_on_loop_stack(dump_partial, &s);
	r = co_engine_save(f->a, s.record);
	co_on_loop_stack(drop_record, s.record);
	f->is_noted |= r == 0;
	return r;
}

/*
 * What is stored must not meet other bytes than those that it tells of: it
 * goes before they come.
 */
static int co_forget(struct fetch *f, struct aw_err *err)
{
	int r = co_engine_save(f->a, json_null());

	partial_fini(&f->partial);
	f->xfer.rest.url = NULL;
	f->xfer.look_at = MONO_NEVER;
	if (r < 0)
		return aw_fail(err, AW_STORAGE_FULL,
			       "cannot store that the download begins anew: %s", strerror(-r));
	return 0;
}

static int co_sync_part(struct fetch *f, struct aw_err *err)
{
	struct part_step s = { .f = f, .err = err };
	int64_t n_bytes = f->received_bytes; /* more may come meanwhile */
	int r;

	if (f->partial.synced_bytes == n_bytes)
		return 0;
	r = co_offload(step_sync, &s);
	if (r == 0)
		f->partial.synced_bytes = n_bytes;
	return r;
}

/* ---- the beginning ---- */

/* Two ranges in one request are more than we could put together. */
static bool has_range(const json_t *headers)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)headers, name, value)
		if (strcasecmp(name, "Range") == 0 || strcasecmp(name, "If-Range") == 0)
			return true;
	return false;
}

bool fetchrest_may(const struct fetch *f, const json_t *spec)
{
	return jobdoc_bool(spec, "resume", true) && strcmp(f->xfer.method, "GET") == 0 &&
	       !f->xfer.body && !has_range(f->xfer.headers);
}

struct hash_step {
	struct fetch *f;
	int64_t at, len;
	struct aw_err *err;
};

static int step_hash(void *arg)
{
	struct hash_step *s = arg;
	cleanup_free unsigned char *data = xmalloc(READ_BYTES);

	while (s->len > 0) {
		size_t n = s->len < (int64_t)READ_BYTES ? (size_t)s->len : READ_BYTES;

		if (dest_read(&s->f->dest, s->at, data, n, s->err) < 0)
			return -EINVAL;
		if (EVP_DigestUpdate(s->f->digest, data, n) != 1)
			return aw_fail(s->err, AW_INTERNAL, "cannot compute the SHA-256");
		s->at += (int64_t)n;
		s->len -= (int64_t)n;
	}
	return 0;
}

static int co_hash_rest(struct fetch *f, struct aw_err *err)
{
	int r = 0;

	for (int64_t at = 0; at < f->received_bytes && r == 0; at += HASH_STEP_BYTES) {
		int64_t left = f->received_bytes - at;
		struct hash_step s = {
			.f = f,
			.at = at,
			.len = left < HASH_STEP_BYTES ? left : HASH_STEP_BYTES,
			.err = err,
		};

		r = co_offload(step_hash, &s);
		if (r == 0)
			r = co_yield();
	}
	return r;
}

int co_fetchrest_begin(struct fetch *f, struct aw_err *err)
{
	if (f->received_bytes == 0)
		return co_forget(f, err);
	f->xfer.rest = (struct xfer_rest){
		.url = f->partial.url,
		.validator = f->partial.validator,
		.from_bytes = f->received_bytes,
		.total_bytes = f->partial.total_bytes,
	};
	return co_hash_rest(f, err);
}

/* ---- while it comes ---- */

/* What the bytes that come now are. */
static void take_partial(struct fetch *f)
{
	struct xfer *x = &f->xfer;

	partial_fini(&f->partial);
	f->is_noted = false;
	/* Only a 200 is all of something (RFC 9110, 15.3.7.3). */
	if (!x->validator || x->status != 200 || strlen(x->effective_url) > URL_MAX_BYTES)
		return;
	f->partial = (struct partial){
		.validator = xstrdup(x->validator),
		.url = xstrdup(x->effective_url),
		.content_type = x->content_type ? xstrdup(x->content_type) : NULL,
		.file = xstrdup(f->dest.file),
		.boot = xstrdup(now_boot_id()),
		.total_bytes = x->content_length,
	};
}

static void note_soon(struct fetch *f)
{
	/* After a crash there is no next attempt otherwise. */
	if (f->partial.validator && f->a->doc.on_lost == ON_LOST_RETRY)
		f->xfer.look_at = mono_in_us(FIRST_NOTE_US);
}

/* The answer is another whole than the one that there is something of already? */
static bool is_anew(const struct fetch *f)
{
	return f->received_bytes > 0 && !f->xfer.is_rest;
}

void fetchrest_on_head(struct fetch *f)
{
	if (is_anew(f) || f->has_old_name) {
		f->xfer.is_held = true;
		return;
	}
	if (!f->xfer.is_rest)
		take_partial(f);
	note_soon(f);
}

static void restart(void *arg)
{
	struct fetch *f = arg;

	fetch_restart_sum(f);
	f->received_bytes = 0;
	take_partial(f);
}

/* Of another whole than before: what is there of that one goes. */
static int co_start_anew(struct fetch *f, struct aw_err *err)
{
	struct part_step s = { .f = f, .err = err };
	int r = co_forget(f, err);

	if (r == 0)
		r = co_offload(step_empty, &s);
	if (r == 0)
		co_on_loop_stack(restart, f);
	return r;
}

/* Before anything is added to what there is. */
static int co_on_held(struct fetch *f, struct aw_err *err)
{
	struct part_step s = { .f = f, .err = err };
	int r = is_anew(f) ? co_start_anew(f, err) : 0;

	if (r == 0 && f->has_old_name)
		r = co_offload(step_take_name, &s);
	if (r == 0)
		note_soon(f);
	return r;
}

/*
 * The first note is for a crash of the daemon alone, after which the file is
 * as it was; the later ones are for the machine's, too.
 */
int co_fetchrest_look(struct xfer *x, struct aw_err *err)
{
	struct fetch *f = container_of(x, struct fetch, xfer);
	bool is_much = f->received_bytes - f->partial.synced_bytes >= NOTE_BYTES;
	int r = 0;

	if (x->is_held)
		return co_on_held(f, err);
	if (f->is_noted && is_much)
		r = co_sync_part(f, err);
	if (r == 0 && (!f->is_noted || is_much))
		(void)!co_note(f); /* the one before holds as well */
	x->look_at = mono_in_us(NOTE_US);
	return r;
}

/* ---- the end ---- */

int fetchrest_check_end(const struct fetch *f, struct aw_err *err)
{
	if (!f->xfer.is_rest || f->received_bytes == f->total_bytes)
		return 0;
	return aw_fail(err, AW_NETWORK, "%.200s ended its answer at byte %" PRId64 " of %" PRId64,
		       f->xfer.effective_url, f->received_bytes, f->total_bytes);
}

/*
 * Is it worth it that another attempt goes on with what is there?  Not if it
 * was the file that failed or what it holds is not what the job asks for.
 */
static bool is_worth_it(const struct fetch *f, int result, const struct aw_err *err)
{
	const struct partial *p = &f->partial;

	if (!p->validator || f->received_bytes == 0 ||
	    (p->total_bytes >= 0 && f->received_bytes > p->total_bytes))
		return false;
	return result == -ECANCELED || err->code == AW_NETWORK || err->code == AW_TIMEOUT ||
	       err->code == AW_TLS || err->code == AW_HTTP;
}

bool co_fetchrest_leave(struct fetch *f, int result, const struct aw_err *err)
{
	struct aw_err ignored = { 0 };
	bool is_left = is_worth_it(f, result, err) && attempt_is_followed(f->a, result) &&
		       co_sync_part(f, &ignored) == 0 && co_note(f) == 0 &&
		       attempt_is_followed(f->a, result);

	aw_err_fini(&ignored);
	if (is_left)
		dest_keep(&f->dest);
	return is_left;
}
