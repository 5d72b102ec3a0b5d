/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/co/coro.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/co_fixture.h"

#include "daemon/base/now.h"
#include "daemon/co/analyser.h"
#include "daemon/co/await.h"
#include "daemon/co/loop.h"

#define SECOND_US INT64_C(1000000)
#define N_MANY_ASLEEP 100000

static struct coro *it;
static int result;
static bool is_ended, has_run;

static void on_ended(void *arg, bool ran)
{
	(void)arg;
	ck_assert_ptr_null(coro_self());
	ck_assert(!is_ended);
	is_ended = true;
	has_run = ran;
}

static void setup(void)
{
	result = 12345;
	is_ended = has_run = false;
	co_setup();
}

static void spawn(coro_fn *fn)
{
	it = coro_spawn(fn, NULL, CORO_STACK_SMALL, on_ended);
}

/* How many coroutines with stacks a test may have where stacks are expensive. */
static size_t many(size_t n)
{
#ifdef RUNNING_ON_VALGRIND
	if (RUNNING_ON_VALGRIND)
		return 500;
#endif
	return ANALYSER_ASAN || ANALYSER_TSAN ? 1500 : n;
}

/* ---- life ---- */

static void just_note(void *arg)
{
	note(arg);
}

START_TEST(first_step_is_in_the_run_step_in_order)
{
	coro_spawn(just_note, (void *)"a", CORO_STACK_SMALL, NULL);
	coro_spawn(just_note, (void *)"b", CORO_STACK_LARGE, NULL);
	coro_spawn(just_note, (void *)"c", CORO_STACK_SMALL, NULL);
	ck_assert_str_eq(trace, "");
	ck_assert(coro_has_ready());
	loop_run_until_idle();
	ck_assert_str_eq(trace, "abc");
	ck_assert(!coro_has_ready());
}
END_TEST

static void spawn_another(void *arg)
{
	(void)arg;
	coro_spawn(just_note, (void *)"b", CORO_STACK_SMALL, NULL);
	note("a");
}

START_TEST(a_coroutine_may_spawn)
{
	spawn(spawn_another);
	loop_run_until_idle();
	ck_assert_str_eq(trace, "ab");
	ck_assert(is_ended && has_run);
}
END_TEST

static void suspend_twice(void *arg)
{
	(void)arg;
	ck_assert_ptr_eq(coro_self(), it);
	result = co_suspend();
	note("1");
	result = co_suspend();
	note("2");
}

START_TEST(a_wake_hands_over_its_result_and_runs_nothing)
{
	ck_assert_ptr_null(coro_self());
	spawn(suspend_twice);
	ck_assert(!coro_is_waiting(it));
	loop_run_until_idle();
	ck_assert(coro_is_waiting(it));
	coro_wake(it, 42);
	ck_assert(!coro_is_waiting(it));
	ck_assert_str_eq(trace, "");
	loop_run_until_idle();
	ck_assert_str_eq(trace, "1");
	ck_assert_int_eq(result, 42);
	coro_wake(it, -EIO);
	loop_run_until_idle();
	ck_assert_int_eq(result, -EIO);
	ck_assert(is_ended && has_run);
}
END_TEST

static void wake_twice(void)
{
	coro_wake(it, 0);
	coro_wake(it, 0);
}

START_TEST(a_second_wake_is_a_bug)
{
	spawn(suspend_twice);
	loop_run_until_idle();
	wake_twice();
}
END_TEST

START_TEST(abandoning_is_a_bug)
{
	spawn(suspend_twice);
	loop_run_until_idle();
	loop_fini();
}
END_TEST

/* ---- not begun yet ---- */

static void spawn_asleep(void)
{
	it = coro_spawn_at(mono_in_us(SECOND_US), just_note, (void *)"x", CORO_STACK_SMALL,
			   on_ended);
}

START_TEST(one_that_never_ran_has_no_stack)
{
	struct coro_stats stats;

	spawn_asleep();
	advance(SECOND_US - 1);
	coro_stats(&stats);
	ck_assert_uint_eq(stats.n_live, 1);
	ck_assert_uint_eq(stats.n_stacks, 0);
	ck_assert_str_eq(trace, "");
	advance(1);
	ck_assert_str_eq(trace, "x");
	ck_assert(is_ended && has_run);
}
END_TEST

START_TEST(cancel_asleep_ends_it_on_the_spot)
{
	spawn_asleep();
	loop_run_until_idle();
	coro_cancel(it);
	coro_cancel(it);      /* is the same */
	ck_assert(!is_ended); /* never inline */
	loop_run_until_idle();
	ck_assert(is_ended && !has_run);
	advance(2 * SECOND_US);
	ck_assert_str_eq(trace, "");
}
END_TEST

START_TEST(cancel_new_ends_it_on_the_spot)
{
	struct coro_stats stats;

	it = coro_spawn(just_note, (void *)"x", CORO_STACK_SMALL, on_ended);
	coro_cancel(it);
	coro_cancel(it);
	ck_assert(!is_ended);
	loop_run_until_idle();
	ck_assert(is_ended && !has_run);
	ck_assert_str_eq(trace, "");
	coro_stats(&stats);
	ck_assert_uint_eq(stats.n_live, 0);
}
END_TEST

static size_t n_woken;

static void count(void *arg)
{
	(void)arg;
	n_woken++;
}

START_TEST(a_hundred_thousand_asleep_need_no_stack)
{
	struct coro_stats stats;
	size_t n = N_MANY_ASLEEP;

	n_woken = 0;
	for (size_t i = 0; i < n; i++)
		coro_spawn_at(mono_in_us((int64_t)(i * 7919 % n) + 1), count, NULL,
			      CORO_STACK_SMALL, NULL);
	loop_run_until_idle();
	coro_stats(&stats);
	ck_assert_uint_eq(stats.n_stacks, 0);
	ck_assert_uint_eq(stats.n_live, n);
	advance((int64_t)n / 2);
	ck_assert_uint_eq(n_woken, n / 2);
	advance((int64_t)n / 2);
	ck_assert_uint_eq(n_woken, n);
}
END_TEST

static void sleep_as_told(void *arg)
{
	int64_t us = (int64_t)(intptr_t)arg;

	ck_assert_int_eq(co_sleep_until(mono_add_us((struct mono){ 1 }, us)), 0);
	ck_assert_int_ge(now_mono().ns, us * 1000 + 1);
	n_woken++;
}

START_TEST(many_sleep_on_stacks_of_their_own)
{
	size_t n = many(100000);

	n_woken = 0;
	for (size_t i = 0; i < n; i++)
		coro_spawn(sleep_as_told, (void *)(intptr_t)(i * 7919 % n + 1), CORO_STACK_SMALL,
			   NULL);
	loop_run_until_idle();
	for (size_t i = 1; i <= 10; i++) {
		advance((int64_t)(n / 10));
		ck_assert_uint_eq(n_woken, n / 10 * i);
	}
}
END_TEST

/* ---- cancelling one that runs ---- */

static void wait_and_clean_up(void *arg)
{
	(void)arg;
	ck_assert(!coro_is_cancelled());
	result = co_suspend();
	note(result == -ECANCELED ? "c" : "w");
	ck_assert(coro_is_cancelled());
	note(co_sleep_until(mono_in_us(SECOND_US)) == 0 ? "s" : "!"); /* later waits work again */
}

START_TEST(cancel_suspended_is_delivered_once)
{
	spawn(wait_and_clean_up);
	loop_run_until_idle();
	coro_cancel(it);
	ck_assert(!coro_is_waiting(it));
	coro_cancel(it); /* before the delivery: the same */
	ck_assert_str_eq(trace, "");
	loop_run_until_idle();
	ck_assert_str_eq(trace, "c");
	ck_assert(!is_ended);
	advance(SECOND_US);
	ck_assert_str_eq(trace, "cs");
	ck_assert(is_ended && has_run);
}
END_TEST

static void wait_twice(void *arg)
{
	(void)arg;
	for (int i = 0; i < 2; i++)
		note(co_suspend() == -ECANCELED ? "c" : "w");
	note(co_suspend() == -ECANCELED ? "C" : "W");
}

START_TEST(a_wake_queued_before_the_cancel_comes_first)
{
	spawn(wait_twice);
	loop_run_until_idle();
	coro_wake(it, 0);
	coro_cancel(it);
	coro_cancel(it);
	loop_run_until_idle();
	ck_assert_str_eq(trace, "wc"); /* and the third wait waits */
	coro_wake(it, 0);
	loop_run_until_idle();
	ck_assert_str_eq(trace, "wcW");
}
END_TEST

START_TEST(a_cancel_after_the_delivery_is_a_new_one)
{
	spawn(wait_twice);
	loop_run_until_idle();
	for (int i = 0; i < 3; i++) {
		coro_cancel(it);
		loop_run_until_idle();
	}
	ck_assert_str_eq(trace, "ccC");
}
END_TEST

static void cancel_self(void *arg)
{
	(void)arg;
	coro_cancel(coro_self());
	ck_assert(coro_is_cancelled());
	note(co_suspend() == -ECANCELED ? "c" : "w"); /* does not give way */
	note(co_yield() == 0 ? "y" : "!");
}

START_TEST(cancel_running_is_for_its_next_wait)
{
	spawn(cancel_self);
	loop_run_until_idle();
	ck_assert_str_eq(trace, "cy");
	ck_assert(is_ended);
}
END_TEST

static void wait_with_deadline(void *arg)
{
	(void)arg;
	result = co_suspend_until(mono_in_us(SECOND_US));
	note(result == -ETIMEDOUT ? "t" : result == -ECANCELED ? "c" : "w");
	result = co_suspend_until(mono_in_us(SECOND_US));
	note(result == -ETIMEDOUT ? "t" : result == -ECANCELED ? "c" : "w");
}

START_TEST(deadline_of_a_suspend)
{
	spawn(wait_with_deadline);
	loop_run_until_idle();
	advance(SECOND_US - 1);
	ck_assert_str_eq(trace, "");
	advance(1);
	ck_assert_str_eq(trace, "t");
	coro_wake(it, 0);
	loop_run_until_idle();
	ck_assert_str_eq(trace, "tw");
	advance(10 * SECOND_US); /* its timer is gone */
	ck_assert(is_ended);
}
END_TEST

static void cancel_it(struct loop_timer *timer)
{
	(void)timer;
	ck_assert(!coro_is_waiting(it)); /* the timeout is queued */
	coro_cancel(it);
}

START_TEST(a_cancel_outranks_a_queued_timeout)
{
	struct loop_timer later = { .fn = cancel_it };

	spawn(wait_with_deadline);
	loop_run_until_idle();
	loop_timer_set(&later, mono_in_us(SECOND_US)); /* same instant, set later: fires later */
	advance(SECOND_US);
	ck_assert_str_eq(trace, "c"); /* and not another one at the second wait */
	advance(SECOND_US);
	ck_assert_str_eq(trace, "ct");
}
END_TEST

START_TEST(a_timeout_cannot_undo_a_queued_cancel)
{
	spawn(wait_with_deadline);
	loop_run_until_idle();
	coro_cancel(it);
	advance(SECOND_US); /* the timer fires in the turn that would resume it */
	ck_assert_str_eq(trace, "c");
	advance(SECOND_US);
	ck_assert_str_eq(trace, "ct");
}
END_TEST

/* ---- shield ---- */

static void wait_shielded(void *arg)
{
	(void)arg;
	co_shield_begin();
	co_shield_begin();
	note(co_suspend() == 0 ? "1" : "!");
	co_shield_end();
	note(co_suspend() == 0 ? "2" : "!"); /* the outer one holds */
	ck_assert(coro_is_cancelled());
	co_shield_end();
	note(co_suspend() == -ECANCELED ? "c" : "!");
	note(co_suspend() == 0 ? "3" : "!");
}

START_TEST(a_shield_keeps_the_cancel_back)
{
	spawn(wait_shielded);
	loop_run_until_idle();
	coro_cancel(it);
	coro_cancel(it);
	ck_assert(coro_is_waiting(it));
	loop_run_until_idle();
	ck_assert_str_eq(trace, "");
	for (int i = 0; i < 3; i++) {
		coro_wake(it, 0);
		loop_run_until_idle();
	}
	ck_assert_str_eq(trace, "12c3");
	ck_assert(is_ended);
}
END_TEST

static void time_out_shielded(void *arg)
{
	(void)arg;
	co_shield_begin();
	note(co_suspend_until(mono_in_us(SECOND_US)) == -ETIMEDOUT ? "t" : "!");
	co_shield_end();
	note(co_suspend() == -ECANCELED ? "c" : "!");
}

START_TEST(a_shield_leaves_timeouts_alone)
{
	struct loop_timer later = { .fn = cancel_it };

	spawn(time_out_shielded);
	loop_run_until_idle();
	loop_timer_set(&later, mono_in_us(SECOND_US));
	advance(SECOND_US);
	ck_assert_str_eq(trace, "tc");
}
END_TEST

/* ---- the run step ---- */

static void yield_three_times(void *arg)
{
	for (int i = 0; i < 3; i++) {
		note(arg);
		ck_assert_int_eq(co_yield(), 0);
	}
}

START_TEST(yielding_lets_the_others_run)
{
	coro_spawn(yield_three_times, (void *)"a", CORO_STACK_SMALL, NULL);
	coro_spawn(yield_three_times, (void *)"b", CORO_STACK_SMALL, NULL);
	loop_run_until_idle();
	ck_assert_str_eq(trace, "ababab");
}
END_TEST

START_TEST(one_that_yields_comes_again_in_the_next_step)
{
	coro_spawn(yield_three_times, (void *)"a", CORO_STACK_SMALL, NULL);
	ck_assert_uint_eq(coro_run_ready(100, SECOND_US), 1);
	ck_assert(coro_has_ready());
	loop_run_until_idle();
}
END_TEST

START_TEST(a_step_is_bounded_by_count)
{
	n_woken = 0;
	for (int i = 0; i < 10; i++)
		coro_spawn(count, NULL, CORO_STACK_SMALL, NULL);
	ck_assert_uint_eq(coro_run_ready(4, SECOND_US), 4);
	ck_assert_uint_eq(n_woken, 4);
	ck_assert(coro_has_ready());
	loop_run_until_idle();
	ck_assert_uint_eq(n_woken, 10);
}
END_TEST

static void take_a_second(void *arg)
{
	(void)arg;
	now_fake_advance_us(SECOND_US);
	n_woken++;
}

START_TEST(a_step_is_bounded_by_time)
{
	n_woken = 0;
	for (int i = 0; i < 100; i++)
		coro_spawn(take_a_second, NULL, CORO_STACK_SMALL, NULL);
	coro_run_ready(1000, SECOND_US);
	ck_assert_uint_lt(n_woken, 50);
	ck_assert(coro_has_ready());
	loop_run_until_idle();
	ck_assert_uint_eq(n_woken, 100);
}
END_TEST

/* ---- calls on the loop's stack ---- */

static void look_at_self(void *arg)
{
	ck_assert_ptr_null(coro_self());
	note("l");
	coro_spawn(just_note, (void *)"o", CORO_STACK_SMALL, NULL);
	*(char **)arg = (char *)__builtin_frame_address(0);
	co_on_loop_stack(just_note, (void *)"n"); /* a plain call here */
}

static void call_the_loop(void *arg)
{
	char *there = NULL, *here = (char *)__builtin_frame_address(0);

	(void)arg;
	note("1");
	co_on_loop_stack(look_at_self, &there);
	note("2"); /* nobody ran in between */
	ck_assert_ptr_eq(coro_self(), it);
	ck_assert(there > here + 64 * 1024 || there < here - 64 * 1024);
}

START_TEST(a_call_on_the_loops_stack)
{
	spawn(call_the_loop);
	loop_run_until_idle();
	ck_assert_str_eq(trace, "1ln2o");
}
END_TEST

static void cancel_from_below(void *arg)
{
	coro_cancel(arg);
}

static void cancelled_from_the_loop(void *arg)
{
	(void)arg;
	co_on_loop_stack(cancel_from_below, coro_self());
	note("1");
	note(co_suspend() == -ECANCELED ? "c" : "!");
}

START_TEST(cancel_during_a_call_on_the_loops_stack)
{
	spawn(cancelled_from_the_loop);
	loop_run_until_idle();
	ck_assert_str_eq(trace, "1c");
}
END_TEST

/* ---- suite ---- */

static TCase *life_case(void)
{
	TCase *tc = tcase_create("life");

	tcase_add_test(tc, first_step_is_in_the_run_step_in_order);
	tcase_add_test(tc, a_coroutine_may_spawn);
	tcase_add_test(tc, a_wake_hands_over_its_result_and_runs_nothing);
	tcase_add_test(tc, one_that_never_ran_has_no_stack);
	tcase_add_test(tc, cancel_asleep_ends_it_on_the_spot);
	tcase_add_test(tc, cancel_new_ends_it_on_the_spot);
	tcase_add_test(tc, a_hundred_thousand_asleep_need_no_stack);
	tcase_add_test(tc, many_sleep_on_stacks_of_their_own);
	return tc;
}

static TCase *cancel_case(void)
{
	TCase *tc = tcase_create("cancel");

	tcase_add_test(tc, cancel_suspended_is_delivered_once);
	tcase_add_test(tc, a_wake_queued_before_the_cancel_comes_first);
	tcase_add_test(tc, a_cancel_after_the_delivery_is_a_new_one);
	tcase_add_test(tc, cancel_running_is_for_its_next_wait);
	tcase_add_test(tc, deadline_of_a_suspend);
	tcase_add_test(tc, a_cancel_outranks_a_queued_timeout);
	tcase_add_test(tc, a_timeout_cannot_undo_a_queued_cancel);
	tcase_add_test(tc, a_shield_keeps_the_cancel_back);
	tcase_add_test(tc, a_shield_leaves_timeouts_alone);
	return tc;
}

static TCase *step_case(void)
{
	TCase *tc = tcase_create("step");

	tcase_add_test(tc, yielding_lets_the_others_run);
	tcase_add_test(tc, one_that_yields_comes_again_in_the_next_step);
	tcase_add_test(tc, a_step_is_bounded_by_count);
	tcase_add_test(tc, a_step_is_bounded_by_time);
	tcase_add_test(tc, a_call_on_the_loops_stack);
	tcase_add_test(tc, cancel_during_a_call_on_the_loops_stack);
	return tc;
}

/* These die, so they need a process each. */
static TCase *bug_case(void)
{
	TCase *tc = tcase_create("bug");

	tcase_add_test_raise_signal(tc, a_second_wake_is_a_bug, SIGABRT);
	tcase_add_test_raise_signal(tc, abandoning_is_a_bug, SIGABRT);
	return tc;
}

static void add_case(Suite *s, TCase *tc)
{
	co_add_case(s, tc, setup, co_teardown);
}

int main(void)
{
	Suite *s = suite_create("coro");
	SRunner *sr = srunner_create(s);

	add_case(s, life_case());
	add_case(s, cancel_case());
	add_case(s, step_case());
	if (srunner_fork_status(sr) == CK_FORK)
		add_case(s, bug_case());
	return suite_end(sr);
}
