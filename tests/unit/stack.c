/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/co/stack.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/co_fixture.h"

#include "daemon/base/now.h"
#include "daemon/co/analyser.h"
#include "daemon/co/await.h"
#include "daemon/co/coro.h"
#include "daemon/co/loop.h"

static void teardown(void)
{
	co_teardown();
	stack_limit_guard(STACK_GUARD_MADVISE);
}

static bool is_analysed(void)
{
#ifdef RUNNING_ON_VALGRIND
	if (RUNNING_ON_VALGRIND)
		return true;
#endif
	return ANALYSER_ASAN || ANALYSER_TSAN;
}

static __attribute__((noinline)) unsigned use_stack(size_t n_bytes)
{
	volatile char page[1024];
	unsigned sum;

	memset((char *)page, (int)(n_bytes / sizeof(page)) | 1, sizeof(page));
	sum = (unsigned char)page[n_bytes % sizeof(page)];
	if (n_bytes > sizeof(page))
		sum += use_stack(n_bytes - sizeof(page));
	return sum + (unsigned char)page[0];
}

static void use_much(void *arg)
{
	use_stack((size_t)(uintptr_t)arg);
	note(co_yield() == 0 ? "y" : "!");
	use_stack((size_t)(uintptr_t)arg);
}

START_TEST(stacks_are_as_large_as_promised)
{
	stack_limit_guard((enum stack_guard)_i);
	for (int i = 0; i < 3; i++) {
		coro_spawn(use_much, (void *)(uintptr_t)(44 * 1024), CORO_STACK_SMALL, NULL);
		coro_spawn(use_much, (void *)(uintptr_t)(200 * 1024), CORO_STACK_LARGE, NULL);
		loop_run_until_idle();
	}
	ck_assert_str_eq(trace, "yyyyyy");
}
END_TEST

START_TEST(an_overflow_is_stopped)
{
	stack_limit_guard((enum stack_guard)_i);
	coro_spawn(use_much, (void *)(uintptr_t)(68 * 1024), CORO_STACK_SMALL, NULL);
	loop_run_until_idle();
}
END_TEST

static void wait_once(void *arg)
{
	(void)arg;
	ck_assert_int_eq(co_suspend(), -ECANCELED);
}

static void overflow_and_yield(void *arg)
{
	(void)arg;
	use_stack((size_t)66 * 1024);
	note(co_yield() == 0 ? "y" : "!");
}

START_TEST(an_overflow_into_the_canary_is_found)
{
	stack_limit_guard(STACK_GUARD_CANARY);
	coro_spawn(wait_once, NULL, CORO_STACK_SMALL, NULL); /* its stack is the one below */
	coro_spawn(overflow_and_yield, NULL, CORO_STACK_SMALL, NULL);
	loop_run_until_idle();
	_exit(EXIT_SUCCESS); /* without the complaint about the one below */
}
END_TEST

START_TEST(guards_are_reported)
{
	static const char *const names[] = { "madvise", "mprotect", "canary" };
	struct coro_stats stats;

	stack_limit_guard((enum stack_guard)_i);
	coro_stats(&stats);
	if (_i > 0)
		ck_assert_str_eq(stats.guard, names[_i]);
	else
		ck_assert(strcmp(stats.guard, "madvise") == 0 ||
			  strcmp(stats.guard, "mprotect") == 0);
	ck_assert_uint_eq(stats.n_stacks, 0);
	ck_assert_ptr_nonnull(stats.substrate);
}
END_TEST

#define N_WAITING 3000

static struct coro *waiting[N_WAITING];

START_TEST(stacks_are_pooled)
{
	struct coro_stats stats;
	size_t n = is_analysed() ? 1100 : N_WAITING;

	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < n; i++)
			waiting[i] = coro_spawn(wait_once, NULL, CORO_STACK_SMALL, NULL);
		loop_run_until_idle();
		coro_stats(&stats);
		ck_assert_uint_eq(stats.n_stacks, n);
		for (size_t i = 0; i < n; i++)
			coro_cancel(waiting[i]);
		loop_run_until_idle();
		coro_stats(&stats);
		ck_assert_uint_eq(stats.n_stacks, 0);
		ck_assert_uint_eq(stats.n_pooled, n);
	}
}
END_TEST

#ifdef AWAITD_STACK_CENSUS
START_TEST(the_census_sees_the_deepest_use)
{
	struct coro_stats stats;

	coro_spawn(use_much, (void *)(uintptr_t)(20 * 1024), CORO_STACK_SMALL, NULL);
	loop_run_until_idle();
	coro_stats(&stats);
	ck_assert_uint_gt(stats.stack_high_bytes, (size_t)20 * 1024);
	if (!is_analysed())
		ck_assert_uint_lt(stats.stack_high_bytes, (size_t)28 * 1024);
}
END_TEST
#endif

/* ---- what a switch must keep ---- */

static uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdU;
	return x ^ x >> 29;
}

/* More live values than there are registers, integers and floating point, across waits. */
static void keep_values(void *arg)
{
	uint64_t s = (uint64_t)(uintptr_t)arg;
	uint64_t a = mix(s + 1), b = mix(s + 2), c = mix(s + 3), d = mix(s + 4), e = mix(s + 5);
	uint64_t f = mix(s + 6), g = mix(s + 7), h = mix(s + 8);
	double p = (double)s + 0.5, q = (double)s * 3.25, r = (double)s / 7, t = (double)s - 1e9;

	for (int i = 0; i < 50; i++) {
		ck_assert_int_eq(co_yield(), 0);
		a += b ^ c;
		b = mix(b) + d;
		c += e;
		d ^= f + g;
		e = mix(e ^ h);
		f += a;
		g ^= b;
		h += c;
		p += q * 0.5;
		q -= r;
		r += t * 1e-3;
		t += p;
	}
	note(((a ^ b ^ c ^ d ^ e ^ f ^ g ^ h) & 1) ? "1" : "0");
	note(p + q + r + t > 0 ? "+" : "-");
}

START_TEST(registers_survive_a_switch)
{
	char alone[sizeof(trace)];

	/* One after the other, then all at once: the values must be the same. */
	for (int i = 0; i < 20; i++) {
		coro_spawn(keep_values, (void *)(uintptr_t)(i * 77777), CORO_STACK_SMALL, NULL);
		loop_run_until_idle();
	}
	memcpy(alone, trace, sizeof(trace));
	trace[0] = '\0';
	for (int i = 0; i < 20; i++)
		coro_spawn(keep_values, (void *)(uintptr_t)(i * 77777), CORO_STACK_SMALL, NULL);
	loop_run_until_idle();
	ck_assert_str_eq(trace, alone);
}
END_TEST

static void print_float(void *arg)
{
	char text[64];
	_Alignas(16) volatile char aligned[32];

	(void)arg;
	ck_assert_uint_eq((uintptr_t)aligned % 16, 0);
	snprintf(text, sizeof(text), "%.3f", 1.0 / 3); /* movaps in there wants an aligned stack */
	ck_assert_str_eq(text, "0.333");
	note(co_yield() == 0 ? "y" : "!");
	snprintf(text, sizeof(text), "%.3f", 2.0 / 3);
	ck_assert_str_eq(text, "0.667");
}

START_TEST(the_stack_is_aligned)
{
	for (int i = 0; i < 20; i++) /* every stagger */
		coro_spawn(print_float, NULL, CORO_STACK_SMALL, NULL);
	loop_run_until_idle();
	ck_assert_uint_eq(strlen(trace), 20);
}
END_TEST

/* ---- suite ---- */

static TCase *stack_case(void)
{
	TCase *tc = tcase_create("stack");

	tcase_add_loop_test(tc, stacks_are_as_large_as_promised, 0, N_STACK_GUARDS);
	tcase_add_loop_test(tc, guards_are_reported, 0, N_STACK_GUARDS);
	tcase_add_test(tc, stacks_are_pooled);
	tcase_add_test(tc, registers_survive_a_switch);
	tcase_add_test(tc, the_stack_is_aligned);
#ifdef AWAITD_STACK_CENSUS
	tcase_add_test(tc, the_census_sees_the_deepest_use);
#endif
	return tc;
}

/* These die, so they need a process each; and the analysers see the overflow in their own way. */
static TCase *bug_case(void)
{
	TCase *tc = tcase_create("bug");

	tcase_add_loop_test_raise_signal(tc, an_overflow_is_stopped, SIGSEGV, 0,
					 STACK_GUARD_CANARY);
	tcase_add_test_raise_signal(tc, an_overflow_into_the_canary_is_found, SIGABRT);
	return tc;
}

static void add_case(Suite *s, TCase *tc)
{
	co_add_case(s, tc, co_setup, teardown);
}

int main(void)
{
	Suite *s = suite_create("stack");
	SRunner *sr = srunner_create(s);

	add_case(s, stack_case());
	if (srunner_fork_status(sr) == CK_FORK && !is_analysed())
		add_case(s, bug_case());
	return suite_end(sr);
}
