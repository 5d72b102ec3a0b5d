/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/co/stack.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/co/analyser.h"
#include "proto/xalloc.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

#define KIB ((size_t)1024)
#define SLAB_BYTES (64 * 1024 * KIB * ANALYSER_STACK_FACTOR) /* 1,024 small ones, 256 large ones */
#define WARM_MAX 1024 /* pooled stacks of a class that keep their memory */
#define N_STAGGERS 16 /* tops that share no cache set, within half a page */
#define STAGGER_BYTES 128
#define CANARY_BYTES 1024 /* more than most frames, each of which writes an address */
#define DEFAULT_MAX_MAPS 65530
#define VMAS_PER_GUARD 2 /* a guard page by mprotect() is a mapping and splits one */
#define CENSUS_BYTE 0xa5

struct slab {
	struct slab *next;
	char *memory;
	size_t n_used; /* stacks handed out at least once */
	struct stack stacks[];
};

struct pool {
	struct slab *slabs; /* owns; only the first may have unused stacks */
	struct stack *warm; /* with memory */
	struct stack *cold; /* without */
	size_t n_warm, n_cold, n_live;
};

static const size_t class_bytes[N_CORO_STACKS] = {
	[CORO_STACK_SMALL] = 64 * KIB * ANALYSER_STACK_FACTOR,
	[CORO_STACK_LARGE] = 256 * KIB * ANALYSER_STACK_FACTOR,
};

static const char *const guard_names[N_STACK_GUARDS] = {
	[STACK_GUARD_MADVISE] = "madvise",
	[STACK_GUARD_MPROTECT] = "mprotect",
	[STACK_GUARD_CANARY] = "canary",
};

static struct pool pools[N_CORO_STACKS];
static enum stack_guard best_guard = STACK_GUARD_MADVISE;
static enum stack_guard weakest_guard = STACK_GUARD_MADVISE;
static size_t n_mprotect_guards;
static size_t high_bytes;

/* ---- guards ---- */

static size_t page_bytes(void)
{
	static size_t n;

	if (n == 0)
		n = (size_t)sysconf(_SC_PAGESIZE);
	return n;
}

static size_t read_max_maps(void)
{
	char text[32];
	long value;
	ssize_t n;
	int fd = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return DEFAULT_MAX_MAPS;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return DEFAULT_MAX_MAPS;
	text[n] = '\0';
	value = strtol(text, NULL, 10);
	return value > 0 ? (size_t)value : DEFAULT_MAX_MAPS;
}

static size_t max_mprotect_guards(void)
{
	static size_t max = SIZE_MAX;

	if (max == SIZE_MAX)
		max = read_max_maps() / 2 / VMAS_PER_GUARD;
	return max;
}

/*
 * Older kernels answer EINVAL, a filter of system calls EPERM or ENOSYS.
 * Whatever the reason, the next weaker guard takes over.
 */
static enum stack_guard install_guard(char *page)
{
	if (best_guard <= STACK_GUARD_MADVISE) {
		if (madvise(page, page_bytes(), MADV_GUARD_INSTALL) == 0)
			return STACK_GUARD_MADVISE;
		if (errno == EINVAL || errno == EPERM || errno == ENOSYS)
			best_guard = STACK_GUARD_MPROTECT;
	}
	if (best_guard <= STACK_GUARD_MPROTECT && n_mprotect_guards < max_mprotect_guards() &&
	    mprotect(page, page_bytes(), PROT_NONE) == 0) {
		n_mprotect_guards++;
		return STACK_GUARD_MPROTECT;
	}
	return STACK_GUARD_CANARY;
}

static __attribute__((noreturn)) void die_of_overflow(void)
{
	fputs("coroutine stack overflow: memory behind the stack was written\n", stderr);
	abort();
}

/*
 * The canary is zero, as the kernel hands pages out: setting it would cost
 * each stack a page of its own, looking at it costs the shared zero page.
 */
void stack_check_canary(const struct stack *s)
{
	static const char zero[CANARY_BYTES];

	/* Nearly always the same memory, so that this much stays in the cache. */
	if (memcmp(s->lo - CANARY_BYTES, zero, CANARY_BYTES) != 0)
		die_of_overflow();
}

void stack_limit_guard(enum stack_guard best)
{
	best_guard = best;
	weakest_guard = best;
}

/* ---- census of the deepest use, in builds that ask for it ---- */

#ifdef AWAITD_STACK_CENSUS
static void census_begin(struct stack *s)
{
	memset(s->lo, CENSUS_BYTE, (size_t)(s->hi - s->lo));
}

__attribute__((no_sanitize("address"))) static void census_end(const struct stack *s)
{
	const char *p = s->lo;

	while (p < s->top && *p == (char)CENSUS_BYTE)
		p++;
	if ((size_t)(s->top - p) > high_bytes)
		high_bytes = (size_t)(s->top - p);
}
#else
static void census_begin(struct stack *s)
{
	(void)s;
}

static void census_end(const struct stack *s)
{
	(void)s;
}
#endif

/* ---- slabs ---- */

static size_t stacks_per_slab(enum coro_stack class)
{
	return SLAB_BYTES / class_bytes[class];
}

/* Address space only.  With huge pages each stack would cost 64 KiB from its first byte. */
static char *map_slab(void)
{
	char *memory = mmap(NULL, SLAB_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);

	if (memory == MAP_FAILED)
		return NULL;
	madvise(memory, SLAB_BYTES, MADV_NOHUGEPAGE); /* fails where there are none: good */
	return memory;
}

static struct slab *slab_add(enum coro_stack class)
{
	struct slab *slab;
	char *memory = map_slab();

	if (!memory)
		return NULL;
	slab = xcalloc(1, sizeof(*slab) + stacks_per_slab(class) * sizeof(struct stack));
	slab->memory = memory;
	slab->next = pools[class].slabs;
	pools[class].slabs = slab;
	return slab;
}

static void stack_init(struct stack *s, char *memory, size_t index, enum coro_stack class)
{
	s->class = (unsigned char)class;
	s->guard = (unsigned char)install_guard(memory);
	if (s->guard > weakest_guard)
		weakest_guard = s->guard;
	s->lo = memory + (s->guard == STACK_GUARD_CANARY ? CANARY_BYTES : page_bytes());
	s->hi = memory + class_bytes[class];
	s->top = s->hi - index % N_STAGGERS * STAGGER_BYTES;
	s->analyser_id = analyser_stack_register(s->lo, s->hi - 1);
}

static struct stack *take_fresh(enum coro_stack class)
{
	struct slab *slab = pools[class].slabs;
	struct stack *s;

	if (!slab || slab->n_used == stacks_per_slab(class)) {
		slab = slab_add(class);
		if (!slab)
			return NULL;
	}
	s = &slab->stacks[slab->n_used];
	stack_init(s, slab->memory + slab->n_used * class_bytes[class], slab->n_used, class);
	slab->n_used++;
	return s;
}

static void slab_free(struct slab *slab)
{
	for (size_t i = 0; i < slab->n_used; i++) {
		struct stack *s = &slab->stacks[i];

		if (s->guard == STACK_GUARD_MPROTECT)
			n_mprotect_guards--;
		analyser_stack_deregister(s->analyser_id);
	}
	munmap(slab->memory, SLAB_BYTES);
	free(slab);
}

/* ---- the pool ---- */

static struct stack *pop(struct stack **list, size_t *n)
{
	struct stack *s = *list;

	*list = s->next;
	(*n)--;
	return s;
}

static void push(struct stack **list, size_t *n, struct stack *s)
{
	s->next = *list;
	*list = s;
	(*n)++;
}

struct stack *stack_get(enum coro_stack class)
{
	struct pool *p = &pools[class];
	struct stack *s;

	if (p->warm)
		s = pop(&p->warm, &p->n_warm);
	else if (p->cold)
		s = pop(&p->cold, &p->n_cold);
	else
		s = take_fresh(class);
	if (!s)
		return NULL;
	p->n_live++;
	/* Not pooled with the stack: it would remember the calls that never returned. */
	s->fiber = analyser_fiber_new();
	census_begin(s);
	return s;
}

static void drop_memory(struct stack *s)
{
	char *first = s->guard == STACK_GUARD_CANARY ? s->lo - CANARY_BYTES : s->lo;

	madvise(first, (size_t)(s->hi - first), MADV_DONTNEED);
}

void stack_put(struct stack *s)
{
	struct pool *p = &pools[s->class];

	census_end(s);
	analyser_fiber_free(s->fiber);
	analyser_forget(s->lo, (size_t)(s->hi - s->lo));
	p->n_live--;
	if (p->n_warm < WARM_MAX) {
		push(&p->warm, &p->n_warm, s);
	} else {
		drop_memory(s);
		push(&p->cold, &p->n_cold, s);
	}
}

/* Which guard there will be is known only once one was asked for. */
static void try_guard(void)
{
	struct stack *s;

	if (pools[CORO_STACK_SMALL].slabs)
		return;
	s = stack_get(CORO_STACK_SMALL);
	if (s)
		stack_put(s);
}

void stack_stats(struct coro_stats *ret)
{
	try_guard();
	ret->n_stacks = 0;
	ret->n_pooled = 0;
	for (size_t i = 0; i < N_CORO_STACKS; i++) {
		ret->n_stacks += pools[i].n_live;
		ret->n_pooled += pools[i].n_warm + pools[i].n_cold;
	}
	ret->stack_high_bytes = high_bytes;
	ret->guard = guard_names[weakest_guard];
}

void stack_fini(void)
{
	for (size_t i = 0; i < N_CORO_STACKS; i++) {
		struct slab *slab = pools[i].slabs;

		assert(pools[i].n_live == 0);
		while (slab) {
			struct slab *next = slab->next;

			slab_free(slab);
			slab = next;
		}
		pools[i] = (struct pool){ 0 };
	}
	weakest_guard = best_guard;
}
