/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/base/heap.h"

#include <assert.h>

#include "proto/xalloc.h"

#define ARITY 4
#define MIN_SIZE 64

static inline bool is_less(const struct heap_entry *a, const struct heap_entry *b)
{
	return a->key != b->key ? a->key < b->key : a->tie < b->tie;
}

static inline void put(struct heap *h, size_t at, struct heap_entry e)
{
	h->entries[at] = e;
	e.slot->at = (uint32_t)(at + 1);
}

static void sift_up(struct heap *h, size_t at, struct heap_entry e)
{
	while (at > 0) {
		size_t parent = (at - 1) / ARITY;

		if (!is_less(&e, &h->entries[parent]))
			break;
		put(h, at, h->entries[parent]);
		at = parent;
	}
	put(h, at, e);
}

static size_t least_child(const struct heap *h, size_t first)
{
	size_t end = first + ARITY < h->n ? first + ARITY : h->n;
	size_t least = first;

	for (size_t c = first + 1; c < end; c++)
		if (is_less(&h->entries[c], &h->entries[least]))
			least = c;
	return least;
}

static void sift_down(struct heap *h, size_t at, struct heap_entry e)
{
	for (;;) {
		size_t child = at * ARITY + 1;

		if (child >= h->n)
			break;
		child = least_child(h, child);
		if (!is_less(&h->entries[child], &e))
			break;
		put(h, at, h->entries[child]);
		at = child;
	}
	put(h, at, e);
}

/* @e goes to where it belongs, seen from the hole @at. */
static void settle(struct heap *h, size_t at, struct heap_entry e)
{
	if (at > 0 && is_less(&e, &h->entries[(at - 1) / ARITY]))
		sift_up(h, at, e);
	else
		sift_down(h, at, e);
}

static void resize(struct heap *h, size_t size)
{
	h->entries = xreallocarray(h->entries, size, sizeof(*h->entries));
	h->size = size;
}

void heap_fini(struct heap *h)
{
	free(h->entries);
	*h = (struct heap){ 0 };
}

void heap_insert(struct heap *h, struct heap_slot *slot, int64_t key, int64_t tie)
{
	assert(!heap_has(slot));
	assert(h->n < UINT32_MAX);
	if (h->n == h->size)
		resize(h, h->size ? h->size * 2 : MIN_SIZE);
	h->n++;
	sift_up(h, h->n - 1, (struct heap_entry){ key, tie, slot });
}

void heap_remove(struct heap *h, struct heap_slot *slot)
{
	size_t at = slot->at;
	struct heap_entry last;

	if (!heap_has(slot))
		return;
	assert(at <= h->n && h->entries[at - 1].slot == slot);
	slot->at = 0;
	last = h->entries[--h->n];
	if (last.slot != slot)
		settle(h, at - 1, last);
	/* A burst's memory is given back, with room left so that it does not swing. */
	if (h->size > MIN_SIZE && h->n < h->size / 4)
		resize(h, h->size / 2);
}

void heap_update(struct heap *h, struct heap_slot *slot, int64_t key, int64_t tie)
{
	if (!heap_has(slot)) {
		heap_insert(h, slot, key, tie);
		return;
	}
	assert(slot->at <= h->n && h->entries[slot->at - 1].slot == slot);
	settle(h, slot->at - 1, (struct heap_entry){ key, tie, slot });
}
