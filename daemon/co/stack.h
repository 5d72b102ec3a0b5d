/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_CO_STACK_H
#define DAEMON_CO_STACK_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/co/coro.h"

/*
 * Stacks for coroutines, for coro.c only.  They come from slabs of address
 * space; a stack costs memory from the first byte written, and gives it back
 * when it is returned while enough warm ones are pooled.  Last in, first out,
 * so that the next coroutine finds its stack in the cache.
 *
 * Overflow hits a guard page where the kernel lets us have one per stack.
 * MADV_GUARD_INSTALL (Linux 6.13) costs no mapping; mprotect() splits one, and
 * vm.max_map_count bounds how many there are, so it is used up to half of
 * that.  Stacks beyond have a canary, looked at at each switch.
 */
enum stack_guard { STACK_GUARD_MADVISE, STACK_GUARD_MPROTECT, STACK_GUARD_CANARY, N_STACK_GUARDS };

struct stack {
	struct stack *next;   /* in a pool */
	char *lo;	      /* the first byte above the guard */
	char *hi;	      /* just behind the last byte */
	char *top;	      /* where the coroutine begins, below hi by the stagger */
	unsigned char class;  /* enum coro_stack */
	unsigned char guard;  /* enum stack_guard */
	unsigned analyser_id; /* valgrind's */
	void *fiber;	      /* ThreadSanitizer's */
};

/* Gives a stack, to be returned by stack_put(); NULL with errno if memory cannot be mapped. */
struct stack *stack_get(enum coro_stack class);
void stack_put(struct stack *s);

/* For one whose guard is the canary: abort if the coroutine wrote beyond its stack. */
void stack_check_canary(const struct stack *s);

/* The n_stacks, n_pooled, stack_high_bytes and guard of coro_stats(). */
void stack_stats(struct coro_stats *ret);
/* Unmap everything; no stack may be in use. */
void stack_fini(void);

/* For tests: stacks made from now on get this guard at best. */
void stack_limit_guard(enum stack_guard best);

#endif
