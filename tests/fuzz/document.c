/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <assert.h>
#include <string.h>

#include "proto/buf.h"
#include "proto/frame.h"
#include "proto/jobdoc.h"
#include "proto/limits.h"
#include "tests/fuzz/fuzz.h"

/*
 * A job document, from the peer to the start of its parts.  The first line is the
 * document, the second (if there is one) the results that its references find, by name.
 */

#define N_BEFORE 3

static void check_error(const struct aw_err *err)
{
	json_t *error = aw_err_job_json(err);

	assert(err->code != AW_OK && err->message[0]);
	/* A pointer into the document: empty, or each step with its "/". */
	assert(err->path[0] == '\0' || err->path[0] == '/');
	assert(json_string_length(json_object_get(error, "message")) > 0);
	json_decref(error);
}

static bool is_text_of(const struct buf *b, const json_t *spec)
{
	struct buf other = { 0 };
	bool is_same;

	buf_add_json(&other, spec);
	is_same = other.len == b->len && memcmp(other.data, b->data, b->len) == 0;
	buf_fini(&other);
	return is_same;
}

/* What is normal stays as it is, on the way in and back from the store. */
static void check_normal(const struct jobdoc *d)
{
	struct jobdoc again = { 0 }, loaded = { 0 };
	struct aw_err err = { 0 };
	struct buf b = { 0 };

	buf_add_json(&b, d->spec);
	assert(jobdoc_check(d->spec, "", N_BEFORE, &again, &err) == 0);
	assert(is_text_of(&b, again.spec));
	assert(jobdoc_load(b.data, b.len, &loaded, &err) == 0);
	assert(is_text_of(&b, loaded.spec));
	jobdoc_fini(&again);
	jobdoc_fini(&loaded);
	buf_fini(&b);
}

static void check_masked(const struct jobdoc *d)
{
	json_t *masked = jobdoc_masked(d->kind, d->spec);
	struct buf b = { 0 };

	buf_add_json(&b, d->spec);
	/* Nothing else is touched; a secret may happen to be "***". */
	if (!d->has_secrets)
		assert(is_text_of(&b, masked));
	json_decref(masked);
	buf_fini(&b);
}

static const json_t *look_up(void *arg, const char *name, size_t len)
{
	return json_object_getn(arg, name, len);
}

/* Each document of the tree as it would start, from its row of its own. */
static void check_start(const struct jobdoc *d, json_t *results)
{
	struct jobrefs_source source = { look_up, results };
	struct jobdoc resolved = { 0 }, part = { 0 };
	struct aw_err err = { 0 };
	struct buf b = { 0 };

	buf_add_json(&b, d->spec);
	assert(jobdoc_load(b.data, b.len, &part, &err) == 0);
	assert(is_text_of(&b, part.spec));
	assert(part.has_refs == d->has_refs);
	assert(part.n_refs == d->n_refs && part.n_parts == d->n_parts);
	buf_fini(&b);
	if (d->has_refs && jobdoc_resolve(&part, &source, &resolved, &err) < 0) {
		assert(err.code == AW_NEEDS && json_object_get(err.facts, "pointer"));
		check_error(&err);
		aw_err_fini(&err);
	} else if (d->has_refs) {
		assert(!resolved.has_refs && resolved.n_parts == d->n_parts);
		buf_add_json(&b, resolved.spec);
		/* A byte of a result takes up to six of JSON text, as \u0001. */
		assert(b.len <= 6 * (size_t)(PROTO_LINE_MAX_BYTES + JOB_RESULTS_MAX_BYTES));
		buf_fini(&b);
		jobdoc_fini(&resolved);
	}
	jobdoc_fini(&part);
	for (size_t i = 0; i < d->n_parts; i++)
		check_start(&d->parts[i], results);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data, *nl = size ? memchr(text, '\n', size) : NULL;
	size_t len = nl ? (size_t)(nl - text) : size;
	struct aw_err err = { 0 };
	json_t *doc, *results = NULL;
	struct jobdoc d = { 0 };

	if (frame_parse(text, len, &doc, &err) < 0) {
		aw_err_fini(&err);
		return 0;
	}
	if (nl && frame_parse(nl + 1, size - len - 1, &results, &err) < 0)
		aw_err_fini(&err);
	if (jobdoc_check(doc, "", N_BEFORE, &d, &err) == 0) {
		check_normal(&d);
		check_masked(&d);
		check_start(&d, results);
		jobdoc_fini(&d);
	} else {
		check_error(&err);
		aw_err_fini(&err);
	}
	/* What a damaged store may hold. */
	for (int kind = 0; kind < N_JOB_KINDS; kind++)
		json_decref(jobdoc_masked((enum job_kind)kind, doc));
	json_decref(doc);
	json_decref(results);
	return 0;
}
