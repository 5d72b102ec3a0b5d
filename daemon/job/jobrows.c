/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/jobrows.h"

#include <stdlib.h>
#include <string.h>

#include "proto/buf.h"
#include "proto/jobdefaults.h"
#include "proto/xalloc.h"

#define TEXTS_BYTES 512 /* as many as most documents need, so that they do not grow in steps */

/* What surrounds a document, from the nearest composition on. */
struct around {
	const struct around *up;
	const struct jobdoc *d;
	size_t index; /* of the part that leads to us */
	size_t place_plus_1;
	int64_t id; /* of a composition that is stored already */
	uint32_t run_of;
};

struct instant jobrows_due(int64_t delay_us, int64_t at_ms, struct instant now)
{
	if (delay_us > 0)
		return instant_add_us(now, delay_us);
	if (at_ms > now.wall.ms)
		return (struct instant){ .wall = { at_ms } };
	return (struct instant){ 0 };
}

/* Is there a result that a worker could read, whether its document refers to one or not? */
static bool sees_results(const struct jobrows *r, const struct jobdoc *d,
			 const struct around *around)
{
	if (d->n_needs || r->is_inside_other)
		return true;
	for (; around; around = around->up) {
		if (around->d->n_needs)
			return true;
		for (size_t i = 0; around->d->kind == JOB_SEQUENCE && i < around->index; i++)
			if (around->d->parts[i].name)
				return true;
	}
	return false;
}

static struct store_need *needs_of(const struct jobrows *r, const struct jobdoc *d)
{
	struct store_need *needs = d->n_needs ? xcalloc(d->n_needs, sizeof(*needs)) : NULL;

	for (size_t i = 0; i < d->n_needs; i++)
		needs[i] = (struct store_need){
			.job = d->needs[i].job,
			.place = d->needs[i].job ? STORE_NO_PLACE : r->places[d->needs[i].place],
			.on = d->needs[i].on,
		};
	return needs;
}

/* Append @word with its NUL; where it begins, 0 when there is none. */
static size_t add_word(struct buf *b, const char *word)
{
	size_t at = b->len;

	if (!word)
		return 0;
	buf_add(b, word, strlen(word) + 1);
	return at;
}

/* What its key compares, where that is not the document as it is. */
static char *asked_text(const struct jobdoc *d)
{
	json_t *asked;
	char *text;

	if (!d->key || !d->may_say_defaults)
		return NULL;
	asked = jobdefaults_leave_out(d->kind, d->spec);
	text = buf_json_text(asked);
	json_decref(asked);
	return text;
}

/* The document and what is read out of it, in one piece of memory: n->spec, which comes first. */
static void take_texts(struct store_new_job *n, const struct jobdoc *d)
{
	struct buf b = { 0 };
	size_t name, queue, key;

	buf_reserve(&b, TEXTS_BYTES);
	buf_add_json(&b, d->spec);
	n->spec_len = b.len;
	buf_addc(&b, '\0');
	name = add_word(&b, d->name);
	queue = add_word(&b, d->queue);
	key = add_word(&b, d->key);
	n->spec = b.data;
	n->name = name ? b.data + name : NULL;
	n->queue = queue ? b.data + queue : NULL;
	n->key = key ? b.data + key : NULL;
}

static void fill(struct store_new_job *n, const struct jobrows *r, const struct jobdoc *d,
		 const struct around *around)
{
	*n = (struct store_new_job){
		.kind = d->kind,
		.tags = d->tags ? buf_json_text(d->tags) : NULL,
		.priority = d->priority,
		.uid = r->uid,
		.gid = r->gid,
		.due = jobrows_due(d->delay_us, d->has_at ? d->at_ms : 0, r->at),
		.needs = needs_of(r, d),
		.n_needs = d->n_needs,
		.keep_s = d->keep_us < 0 ? -1 : (d->keep_us + 999999) / 1000000,
		.has_refs = d->has_refs || (d->kind == JOB_WORKER && sees_results(r, d, around)),
	};
	if (d->deadline_us)
		n->deadline = instant_add_us(r->at, d->deadline_us);
	if (around) {
		n->parent_place_plus_1 = around->place_plus_1;
		n->parent = around->id;
		n->run_of = around->run_of;
		n->part = (unsigned)around->index;
	}
	take_texts(n, d);
	n->asked = asked_text(d);
}

static struct store_new_job *next_row(struct jobrows *r)
{
	if (r->n == r->size) {
		r->size = r->size ? 2 * r->size : 1;
		r->jobs = xreallocarray(r->jobs, r->size, sizeof(*r->jobs));
	}
	return &r->jobs[r->n++];
}

static void add_parts(struct jobrows *r, const struct jobdoc *d, struct around *self);

static size_t add(struct jobrows *r, const struct jobdoc *d, const struct around *around)
{
	size_t place = r->n;
	struct around self = { .up = around, .d = d, .place_plus_1 = place + 1, .run_of = 1 };

	fill(next_row(r), r, d, around);
	add_parts(r, d, &self);
	return place;
}

static void add_parts(struct jobrows *r, const struct jobdoc *d, struct around *self)
{
	for (self->index = 0; self->index < d->n_parts; self->index++)
		add(r, &d->parts[self->index], self);
}

size_t jobrows_add(struct jobrows *r, const struct jobdoc *d)
{
	return add(r, d, NULL);
}

void jobrows_add_parts(struct jobrows *r, const struct jobdoc *d, int64_t parent, uint32_t run_of)
{
	struct around self = { .d = d, .id = parent, .run_of = run_of };

	add_parts(r, d, &self);
}

void jobrows_free(struct store_new_job *jobs, size_t n)
{
	for (size_t i = 0; jobs && i < n; i++) {
		free((char *)jobs[i].spec);
		free((char *)jobs[i].asked);
		free((char *)jobs[i].tags);
		free(jobs[i].needs);
	}
	free(jobs);
}
