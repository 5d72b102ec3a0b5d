/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/jobtab.h"

#include "proto/xalloc.h"

#include <assert.h>

/*
 * Ids are dense and rising, so the low bits spread them evenly by
 * themselves; the multiplication only breaks up strides that clients make by
 * removing every other job.
 */
static size_t home(const struct jobtab *t, int64_t id)
{
	return (size_t)(((uint64_t)id * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & (t->size - 1);
}

void jobtab_fini(struct jobtab *t)
{
	free(t->cells);
	*t = (struct jobtab){ 0 };
}

static void put(struct jobtab *t, struct job *job)
{
	size_t i = home(t, job->id);

	while (t->cells[i])
		i = (i + 1) & (t->size - 1);
	t->cells[i] = job;
}

static void resize(struct jobtab *t, size_t size)
{
	struct jobtab old = *t;

	t->cells = xcalloc(size, sizeof(struct job *));
	t->size = size;
	for (size_t i = 0; i < old.size; i++)
		if (old.cells[i])
			put(t, old.cells[i]);
	free(old.cells);
}

void jobtab_add(struct jobtab *t, struct job *job)
{
	if ((t->n + 1) * 4 > t->size * 3)
		resize(t, t->size ? t->size * 2 : 64);
	put(t, job);
	t->n++;
}

struct job *jobtab_find(const struct jobtab *t, int64_t id)
{
	if (t->size == 0)
		return NULL;
	for (size_t i = home(t, id); t->cells[i]; i = (i + 1) & (t->size - 1))
		if (t->cells[i]->id == id)
			return t->cells[i];
	return NULL;
}

void jobtab_remove(struct jobtab *t, const struct job *job)
{
	size_t mask = t->size - 1, hole = home(t, job->id);

	while (t->cells[hole] != job) {
		assert(t->cells[hole]);
		hole = (hole + 1) & mask;
	}
	/* Close the gap: move up whatever a search would now miss (Knuth, 6.4, algorithm R). */
	for (size_t i = (hole + 1) & mask; t->cells[i]; i = (i + 1) & mask) {
		size_t want = home(t, t->cells[i]->id);

		if (((i - want) & mask) >= ((i - hole) & mask)) {
			t->cells[hole] = t->cells[i];
			hole = i;
		}
	}
	t->cells[hole] = NULL;
	t->n--;
	if (t->size > 1024 && t->n * 8 < t->size)
		resize(t, t->size / 4);
}

struct job *jobtab_next(const struct jobtab *t, size_t *at)
{
	while (*at < t->size) {
		struct job *job = t->cells[(*at)++];

		if (job)
			return job;
	}
	return NULL;
}
