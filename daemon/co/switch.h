/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_CO_SWITCH_H
#define DAEMON_CO_SWITCH_H

/*
 * The one place where the machine's stack pointer changes, for coro.c only.
 * Between one loop's stack and any number of coroutines' stacks; coroutines
 * never switch to each other.
 *
 * A coroutine that is not running is one pointer, its slot; what it must keep
 * lies on its own stack.  The assembly (switch-*.S) keeps the registers that
 * the calling convention says a callee keeps, and not the floating point
 * control words, which nobody here changes.  The loop's stack pointer is in
 * one global: kept in each coroutine it would be a cache miss before each
 * switch (2.8 times slower with 100,000 of them).
 *
 * -DAWAITD_CO_UCONTEXT, or another machine, takes swapcontext() instead,
 * which does two system calls a switch and is right everywhere.
 */
#if !defined(AWAITD_CO_UCONTEXT) && defined(__x86_64__) && defined(__LP64__)
#define SWITCH_X86_64 1
#elif !defined(AWAITD_CO_UCONTEXT) && defined(__aarch64__) && defined(__LP64__)
#define SWITCH_AARCH64 1
#else
#define SWITCH_UCONTEXT 1
#endif

#ifndef __ASSEMBLER__
/*
 * Prepare the stack from @lo up to @top so that the first switch_in(slot)
 * calls @entry, which must end in a switch_out() that nobody comes back to.
 */
void switch_prepare(void **slot, char *lo, char *top, void (*entry)(void));
/* From the loop's stack to the coroutine's, whose switch_out() returns @value. */
void switch_in(void **slot, int value);
/* From the coroutine's stack, kept in @slot, to the loop's. */
int switch_out(void **slot);
/* "x86-64", "aarch64" or "ucontext". */
const char *switch_name(void);
#endif

#endif
