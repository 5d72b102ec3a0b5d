/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/kinds/fetch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/list.h"
#include "daemon/co/await.h"
#include "daemon/conf.h"
#include "daemon/job/jobdir.h"
#include "proto/units.h"

#define SMALL_BYTES (1024 * 1024)

/* How fast it goes: bytes are gathered for a moment, then mixed into a moving mean. */
#define RATE_STEP_NS INT64_C(200000000)
#define RATE_MEMORY_NS INT64_C(2000000000)

static bool has_body(const struct fetch *f)
{
	return strcmp(f->xfer.method, "HEAD") != 0;
}

/* ---- rate ---- */

static void rate_mix(struct rate *r, struct mono now)
{
	int64_t ns = now.ns - r->since.ns;
	double part = (double)ns / (double)(ns + RATE_MEMORY_NS);

	if (r->per_s == 0)
		part = 1;
	r->per_s += part * ((double)r->bytes * 1e9 / (double)ns - r->per_s);
	r->bytes = 0;
	r->since = now;
}

static void rate_add(struct rate *r, struct mono now, size_t bytes)
{
	r->bytes += (int64_t)bytes;
	if (now.ns - r->since.ns >= RATE_STEP_NS)
		rate_mix(r, now);
}

/* Bytes per second as of @now: a transfer that stalls slows down. */
static int64_t rate_get(const struct rate *r, struct mono now)
{
	struct rate copy = *r;

	if (now.ns - copy.since.ns >= RATE_STEP_NS)
		rate_mix(&copy, now);
	return (int64_t)copy.per_s;
}

/* ---- what the transfer tells ---- */

static bool is_in_range(const json_t *range, long status)
{
	const char *text = json_string_value(range), *dash;

	if (json_is_integer(range))
		return json_integer_value(range) == status;
	dash = text ? strchr(text, '-') : NULL;
	return dash && status >= strtol(text, NULL, 10) && status <= strtol(dash + 1, NULL, 10);
}

static bool fetch_wants_status(const struct xfer *x, long status)
{
	const struct fetch *f = container_of(x, struct fetch, xfer);
	const json_t *item;
	size_t i;

	if (!f->expect)
		return status >= 200 && status <= 299;
	json_array_foreach(f->expect, i, item)
		if (is_in_range(item, status))
			return true;
	return false;
}

static int fail_too_large(struct fetch *f, int64_t bytes)
{
	return aw_fail(&f->xfer.err, AW_TOO_LARGE,
		       "%.200s is larger (%" PRId64 " bytes%s) than max_size, %" PRId64 " bytes",
		       f->xfer.effective_url, bytes, f->total_bytes < 0 ? " and more" : "",
		       f->max_bytes);
}

static int fetch_on_head(struct xfer *x)
{
	struct fetch *f = container_of(x, struct fetch, xfer);

	if (!x->is_rest && !fetch_wants_status(x, x->status)) {
		aw_fail(&x->err, AW_HTTP,
			"%.200s answered with status %ld; look whether the URL is right, or "
			"name the status in \"expect\"",
			x->effective_url, x->status);
		aw_err_fact(&x->err, "status", json_integer(x->status));
		return -EINVAL;
	}
	if (!has_body(f))
		return 0;
	f->total_bytes = x->is_rest ? x->rest_end_bytes : x->content_length;
	f->rate.since = now_mono();
	if (f->total_bytes > f->max_bytes)
		return fail_too_large(f, f->total_bytes);
	fetchrest_on_head(f);
	return 0;
}

static int fetch_on_data(struct xfer *x, const void *data, size_t len)
{
	struct fetch *f = container_of(x, struct fetch, xfer);

	if (!has_body(f))
		return 0;
	if ((int64_t)len > f->max_bytes - f->received_bytes)
		return fail_too_large(f, f->received_bytes + (int64_t)len);
	if (dest_write(&f->dest, data, len, &x->err) < 0)
		return -EINVAL;
	if (EVP_DigestUpdate(f->digest, data, len) != 1)
		return aw_fail(&x->err, AW_INTERNAL, "cannot compute the SHA-256");
	f->received_bytes += (int64_t)len;
	rate_add(&f->rate, now_mono(), len);
	attempt_progressed(f->a);
	if (!f->output)
		attempt_output_grew(f->a);
	return 0;
}

/* ---- the file: on a helper thread ---- */

struct file_step {
	struct fetch *f;
	char **roots;	     /* owns; a copy, for a reload may come meanwhile */
	unsigned flags;	     /* enum dest_flag */
	int64_t there_bytes; /* out; of an earlier attempt */
	struct aw_err *err;
};

static int open_output(const struct file_step *s)
{
	struct fetch *f = s->f;

	return dest_open(&f->dest, f->output, s->roots, f->a->id, s->flags, s->err);
}

static int open_body(const struct file_step *s)
{
	const struct attempt *a = s->f->a;
	uint32_t left = a->attempt > 1 ? jobdir_latest(a->id, a->attempt, "body") : 0;
	cleanup_free char *path = jobdir_path(a->id, left ? left : a->attempt, "body");
	int r = jobdir_make(a->id);

	if (r < 0)
		return aw_fail(s->err, r == -ENOSPC || r == -EDQUOT ? AW_STORAGE_FULL : AW_IO,
			       "cannot make the folder of %s: %s", path, strerror(-r));
	s->f->has_old_name = left > 0;
	return dest_open_body(&s->f->dest, path, s->flags, s->err);
}

static int step_open(void *arg)
{
	struct file_step *s = arg;
	int r = s->f->output ? open_output(s) : open_body(s);

	return r < 0 ? r : fetchrest_look_at_file(s->f, &s->there_bytes, s->err);
}

static int step_sync(void *arg)
{
	const struct file_step *s = arg;

	return dest_sync(&s->f->dest, s->err);
}

static int step_publish(void *arg)
{
	const struct file_step *s = arg;

	return dest_publish(&s->f->dest, s->err);
}

static int step_discard(void *arg)
{
	dest_discard(arg);
	return 0;
}

static char **copy_roots(char *const *roots)
{
	size_t n = 0;
	char **copy;

	while (roots && roots[n])
		n++;
	copy = xcalloc(n + 1, sizeof(*copy));
	for (size_t i = 0; i < n; i++)
		copy[i] = xstrdup(roots[i]);
	return copy;
}

static void free_roots(char **roots)
{
	for (size_t i = 0; roots[i]; i++)
		free(roots[i]);
	free(roots);
}

static int co_open_file(struct fetch *f, struct aw_err *err)
{
	struct file_step s = {
		.f = f,
		.roots = copy_roots(conf->output_roots),
		.err = err,
	};
	int r;

	if (conf->is_system)
		s.flags |= DEST_PRIVATE;
	if (jobdoc_bool(f->a->doc.spec, "overwrite", false))
		s.flags |= DEST_OVERWRITE;
	if (f->partial.validator)
		s.flags |= DEST_RESUME;
	if (f->a->doc.on_lost == ON_LOST_RETRY)
		s.flags |= DEST_AGAIN;
	r = co_offload(step_open, &s);
	free_roots(s.roots);
	f->received_bytes = s.there_bytes;
	if (r == 0 && f->dest.handle)
		attempt_set_handle(f->a, "part", f->dest.handle);
	return r;
}

/*
 * The file is about to get its final name.  A crash before that is recorded
 * leaves it in the way of the next attempt, which knows by the handle that it may
 * take it back: so that comes first.  While the disk is full nothing does, and
 * the rest is worth having.  And a cancel finds the file there and the job succeeded,
 * or neither.
 */
static int co_settle(struct fetch *f)
{
	if (f->dest.handle)
		(void)!co_attempt_handle_kept(f->a);
	return attempt_end_seen(f->a) ? 0 : -ECANCELED;
}

static int step_sync_publish(void *arg)
{
	int r = step_sync(arg);

	return r < 0 ? r : step_publish(arg);
}

/*
 * Bring the file to disk, then give it its name.  Syncing a large file takes
 * its time, and a cancel in it still finds nothing under the final name; for
 * a small one the second trip to a helper thread would cost more than it.
 */
static int co_keep_file(struct fetch *f, struct aw_err *err)
{
	struct file_step s = { .f = f, .err = err };
	int r;

	if (f->received_bytes <= SMALL_BYTES) {
		r = co_settle(f);
		return r < 0 ? r : co_offload(step_sync_publish, &s);
	}
	r = co_offload(step_sync, &s);
	if (r == 0)
		r = co_yield();
	if (r == 0)
		r = co_settle(f);
	if (r == 0)
		r = co_offload(step_publish, &s);
	return r;
}

/* ---- begin and end, on the loop's stack ---- */

static void read_spec(struct fetch *f)
{
	const json_t *spec = f->a->doc.spec, *body = json_object_get(spec, "body");
	const char *checksum = jobdoc_string(spec, "checksum", NULL);

	f->xfer = (struct xfer){
		.url = jobdoc_string(spec, "url", ""),
		.method = jobdoc_string(spec, "method", body ? "POST" : "GET"),
		.headers = json_object_get(spec, "headers"),
		.body = json_string_value(body),
		.body_len = json_string_length(body),
		.proxy = f->proxy,
		.ca_file = f->ca_file,
		.is_insecure = jobdoc_bool(spec, "insecure", false),
		.connect_timeout_us =
			jobdoc_duration_us(spec, "connect_timeout", conf->connect_timeout_us),
		.idle_timeout_us = jobdoc_duration_us(spec, "idle_timeout", conf->idle_timeout_us),
		.max_redirects = (unsigned)jobdoc_integer(spec, "redirects", conf->redirects),
		.may_reuse = f->a->uid == geteuid(),
		.wants_status = fetch_wants_status,
		.on_head = fetch_on_head,
		.on_data = fetch_on_data,
		.co_look = co_fetchrest_look,
		.look_at = MONO_NEVER,
	};
	f->may_resume = fetchrest_may(f, spec);
	f->xfer.wants_validator = f->may_resume;
	f->expect = json_object_get(spec, "expect");
	f->output = jobdoc_string(spec, "output", NULL);
	f->checksum = checksum ? checksum + strlen("sha256:") : NULL;
	f->max_bytes = jobdoc_integer(spec, "max_size",
				      conf->max_size_bytes ? conf->max_size_bytes : INT64_MAX);
	f->total_bytes = -1;
}

void fetch_restart_sum(struct fetch *f)
{
	if (EVP_DigestInit_ex(f->digest, EVP_sha256(), NULL) != 1)
		xalloc_die();
}

static void begin(void *arg)
{
	struct fetch *f = arg;

	dest_init(&f->dest);
	f->has_begun = true;
	f->begun = f->rate.since = now_mono();
	f->proxy = xstrdup(conf->proxy ? conf->proxy : "");
	f->ca_file = xstrdup(conf->ca_file ? conf->ca_file : "");
	read_spec(f);
	if (!has_body(f))
		return;
	f->digest = EVP_MD_CTX_new();
	if (!f->digest)
		xalloc_die();
	fetch_restart_sum(f);
}

static void finish_sum(void *arg)
{
	struct fetch *f = arg;
	unsigned char sum[EVP_MAX_MD_SIZE];

	if (!f->digest)
		return;
	if (EVP_DigestFinal_ex(f->digest, sum, NULL) != 1)
		xalloc_die();
	for (size_t i = 0; i < FETCH_SUM_BYTES; i++)
		snprintf(f->sum + 2 * i, 3, "%02x", sum[i]);
}

static json_t *text_or_null(const char *text)
{
	return text && *text ? json_string(text) : json_null();
}

static void set_result(void *arg)
{
	struct fetch *f = arg;
	const struct xfer *x = &f->xfer;
	int64_t elapsed_us = (now_mono().ns - f->begun.ns) / 1000;
	const char *type =
		x->content_type || !x->is_rest ? x->content_type : f->partial.content_type;
	json_t *result = json_object();

	/* All parts together are what the first answer, a 200, began (RFC 9110, 15.3.7.3). */
	json_object_set_new(result, "status", json_integer(x->is_rest ? 200 : x->status));
	json_object_set_new(result, "bytes", json_integer(f->received_bytes));
	json_object_set_new(result, "path", text_or_null(f->output));
	json_object_set_new(result, "sha256", text_or_null(f->sum));
	json_object_set_new(result, "url", text_or_null(x->effective_url));
	json_object_set_new(result, "content_type", text_or_null(type));
	json_object_set_new(result, "elapsed", duration_to_json(elapsed_us / 1000 * 1000));
	attempt_set_result(f->a, result);
}

static int verify(const struct fetch *f, struct aw_err *err)
{
	if (!f->checksum || strcmp(f->checksum, f->sum) == 0)
		return 0;
	return aw_fail(err, AW_CHECKSUM,
		       "the content has sha256:%s, the job asks for sha256:%s; nothing was kept",
		       f->sum, f->checksum);
}

/* ---- the kind ---- */

static int co_transfer(struct fetch *f, struct aw_err *err)
{
	int r = co_xfer_run(&f->xfer, err);

	if (r < 0)
		return r;
	r = fetchrest_check_end(f, err);
	if (r < 0)
		return r;
	co_on_loop_stack(finish_sum, f);
	return verify(f, err);
}

static int co_fetch(struct fetch *f, const json_t *saved, struct aw_err *err)
{
	int r = has_body(f) ? co_open_file(f, err) : 0;

	if (r == 0 && saved)
		r = co_fetchrest_begin(f, err);
	if (r == 0)
		r = co_transfer(f, err);
	if (r == 0 && has_body(f))
		r = co_keep_file(f, err);
	return r;
}

static int co_fetch_run(struct attempt *a, const json_t *saved, struct aw_err *err)
{
	struct fetch *f = a->priv;
	int r;

	f->a = a;
	co_on_loop_stack(begin, f);
	if (f->may_resume && saved)
		partial_load(saved, &f->partial);
	r = co_fetch(f, saved, err);
	if (r == 0)
		co_on_loop_stack(set_result, f);
	else if (!co_fetchrest_leave(f, r, err))
		co_offload(step_discard, &f->dest);
	return r;
}

static int fetch_check(struct jobdoc *d, struct aw_err *err)
{
	const char *output = jobdoc_string(d->spec, "output", NULL);
	const char *method = jobdoc_string(d->spec, "method", NULL);
	char *path;
	int r = xfer_check_url(jobdoc_string(d->spec, "url", ""), err);

	if (r < 0)
		return r;
	if (method && strcmp(method, "HEAD") == 0 && jobdoc_string(d->spec, "checksum", NULL))
		return aw_fail_at(err, AW_PARAMS, "/checksum",
				  "a HEAD request has no content to check");
	if (!output)
		return 0;
	if (method && strcmp(method, "HEAD") == 0)
		return aw_fail_at(err, AW_PARAMS, "/output",
				  "a HEAD request has no content to write");
	r = dest_check(output, conf->output_roots, &path, err);
	if (r < 0)
		return r;
	/* Replacing a member keeps its place, and so the normal form. */
	r = json_object_set_new(d->spec, "output", json_string(path));
	free(path);
	return r < 0 ? aw_fail_at(err, AW_PARAMS, "/output", "is not UTF-8") : 0;
}

static void fetch_end_leftover(const struct leftover *left)
{
	bool has_part = left->executor && left->handle && strcmp(left->executor, "part") == 0;

	if (left->is_followed) {
		if (has_part)
			dest_take_back(left->handle);
		return;
	}
	jobdir_drop(left->id, UINT32_MAX, "body");
	if (has_part)
		dest_remove_leftover(left->handle);
}

static json_t *fetch_describe(const struct attempt *a)
{
	const struct fetch *f = a->priv;

	if (!f->has_begun)
		return NULL;
	return json_pack("{s:I, s:o, s:s, s:I}", "done", (json_int_t)f->received_bytes, "total",
			 f->total_bytes < 0 ? json_null() : json_integer(f->total_bytes), "unit",
			 "bytes", "rate", (json_int_t)rate_get(&f->rate, now_mono()));
}

static void fetch_fini(struct attempt *a)
{
	struct fetch *f = a->priv;

	xfer_clear(&f->xfer);
	partial_fini(&f->partial);
	EVP_MD_CTX_free(f->digest);
	free(f->proxy);
	free(f->ca_file);
}

extern const struct kind kind_fetch;
const struct kind kind_fetch = {
	.kind = JOB_FETCH,
	.private_bytes = sizeof(struct fetch),
	.check = fetch_check,
	.co_run = co_fetch_run,
	.end_leftover = fetch_end_leftover,
	.describe = fetch_describe,
	.fini = fetch_fini,
};
