/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_CO_ANALYSER_H
#define DAEMON_CO_ANALYSER_H

/*
 * What the analysers must be told about stacks, as functions that are nothing
 * in a normal build.  AddressSanitizer wants to know before and after each
 * switch, ThreadSanitizer before, valgrind once per stack.
 */

#include <stddef.h>

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define ANALYSER_ASAN 1
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#else
#define ANALYSER_ASAN 0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
#define ANALYSER_TSAN 1
#include <sanitizer/tsan_interface.h>
#else
#define ANALYSER_TSAN 0
#endif
#ifdef HAVE_VALGRIND_VALGRIND_H
#include <valgrind/valgrind.h>
#endif

/* A switch in the middle of an instrumented function of its own would unbalance what they count. */
#define ALWAYS_INLINE inline __attribute__((always_inline))

/* Instrumented frames are larger. */
#define ANALYSER_STACK_FACTOR (ANALYSER_ASAN || ANALYSER_TSAN ? 4 : 1)

/*
 * About to leave this stack for the one of @size_bytes at @lo, whose fiber is
 * @fiber.  @ret_save NULL: for ever.
 */
static ALWAYS_INLINE void analyser_leave(void **ret_save, const void *lo, size_t size_bytes,
					 void *fiber)
{
#if ANALYSER_ASAN
	__sanitizer_start_switch_fiber(ret_save, lo, size_bytes);
#endif
#if ANALYSER_TSAN
	__tsan_switch_to_fiber(fiber, 0);
#endif
	(void)ret_save;
	(void)lo;
	(void)size_bytes;
	(void)fiber;
}

/*
 * Arrived, with what analyser_leave() saved here (NULL: for the first time);
 * tells where we came from.
 */
static ALWAYS_INLINE void analyser_arrive(void *saved, const void **ret_lo, size_t *ret_size_bytes)
{
#if ANALYSER_ASAN
	__sanitizer_finish_switch_fiber(saved, ret_lo, ret_size_bytes);
#endif
	(void)saved;
	(void)ret_lo;
	(void)ret_size_bytes;
}

/* The memory of a stack is used afresh: no red zone of an abandoned frame may stay. */
static ALWAYS_INLINE void analyser_forget(void *lo, size_t size_bytes)
{
#if ANALYSER_ASAN
	__asan_unpoison_memory_region(lo, size_bytes);
#endif
	(void)lo;
	(void)size_bytes;
}

static ALWAYS_INLINE void *analyser_fiber_new(void)
{
#if ANALYSER_TSAN
	return __tsan_create_fiber(0);
#else
	return NULL;
#endif
}

static ALWAYS_INLINE void analyser_fiber_free(void *fiber)
{
#if ANALYSER_TSAN
	if (fiber)
		__tsan_destroy_fiber(fiber);
#endif
	(void)fiber;
}

static ALWAYS_INLINE void *analyser_fiber_self(void)
{
#if ANALYSER_TSAN
	return __tsan_get_current_fiber();
#else
	return NULL;
#endif
}

/* Tell valgrind of a stack; gives an id for analyser_stack_deregister(). */
static ALWAYS_INLINE unsigned analyser_stack_register(const void *lo, const void *hi)
{
	unsigned id = 0;

#ifdef VALGRIND_STACK_REGISTER
	id = VALGRIND_STACK_REGISTER(lo, hi);
#endif
	(void)lo;
	(void)hi;
	return id;
}

static ALWAYS_INLINE void analyser_stack_deregister(unsigned id)
{
#ifdef VALGRIND_STACK_DEREGISTER
	VALGRIND_STACK_DEREGISTER(id);
#endif
	(void)id;
}

#endif
