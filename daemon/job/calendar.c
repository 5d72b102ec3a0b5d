/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/calendar.h"

void calendar_fini(struct calendar *c)
{
	heap_fini(&c->boot);
	heap_fini(&c->wall);
}

void calendar_add(struct calendar *c, struct heap_slot *slot, int64_t tie, struct instant when)
{
	if (when.boot.ns)
		heap_insert(&c->boot, slot, when.boot.ns, tie);
	else
		heap_insert(&c->wall, slot, when.wall.ms, tie);
}

static bool holds(const struct heap *h, const struct heap_slot *slot)
{
	return heap_has(slot) && slot->at <= h->n && h->entries[slot->at - 1].slot == slot;
}

void calendar_remove(struct calendar *c, struct heap_slot *slot)
{
	if (holds(&c->boot, slot))
		heap_remove(&c->boot, slot);
	else if (holds(&c->wall, slot))
		heap_remove(&c->wall, slot);
}

static struct heap_slot *pop_until(struct heap *h, int64_t key)
{
	const struct heap_entry *first = heap_first(h);
	struct heap_slot *slot;

	if (!first || first->key > key)
		return NULL;
	slot = first->slot;
	heap_remove(h, slot);
	return slot;
}

struct heap_slot *calendar_pop_due(struct calendar *c, struct boot boot, struct wall wall)
{
	struct heap_slot *slot = pop_until(&c->boot, boot.ns);

	return slot ? slot : pop_until(&c->wall, wall.ms);
}

struct calendar_next calendar_next(const struct calendar *c)
{
	const struct heap_entry *boot = heap_first(&c->boot), *wall = heap_first(&c->wall);

	return (struct calendar_next){
		.boot = { boot ? boot->key : INT64_MAX },
		.wall = { wall ? wall->key : INT64_MAX },
	};
}

struct calendar_next calendar_earlier(struct calendar_next a, struct calendar_next b)
{
	if (b.boot.ns < a.boot.ns)
		a.boot = b.boot;
	if (b.wall.ms < a.wall.ms)
		a.wall = b.wall;
	return a;
}
