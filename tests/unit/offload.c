/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/co/await.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/co_fixture.h"

static struct coro *it;
static bool is_ended;

static void on_ended(void *arg, bool ran)
{
	(void)arg;
	(void)ran;
	is_ended = true;
}

static void setup(void)
{
	is_ended = false;
	it = NULL;
	co_setup();
}

static void teardown(void)
{
	offload_fini();
	co_teardown();
}

static void spawn(coro_fn *fn, void *arg)
{
	it = coro_spawn(fn, arg, CORO_STACK_SMALL, on_ended);
	loop_run_until_idle();
}

static int three = 3;

static atomic_int n_worked;
static atomic_bool may_go;
static pthread_t loop_thread;

static int work(void *arg)
{
	sigset_t set;

	ck_assert(!pthread_equal(pthread_self(), loop_thread));
	pthread_sigmask(SIG_BLOCK, NULL, &set);
	ck_assert(sigismember(&set, SIGTERM) && sigismember(&set, SIGCHLD));
	while (!atomic_load(&may_go))
		sched_yield();
	atomic_fetch_add(&n_worked, 1);
	return *(int *)arg;
}

static void offload_once(void *arg)
{
	note(co_offload(work, arg) == *(int *)arg ? "o" : "!");
	note_end(co_yield());
}

static void prepare_work(bool is_slow)
{
	atomic_store(&n_worked, 0);
	atomic_store(&may_go, !is_slow);
	loop_thread = pthread_self();
}

/* The threads are real, so this waits for them in the loop. */
static void run_until_ended(void)
{
	while (!is_ended)
		loop_turn(true);
}

START_TEST(offload_returns_what_the_work_returned)
{
	prepare_work(false);
	spawn(offload_once, &three);
	run_until_ended();
	ck_assert_str_eq(trace, "o0");
}
END_TEST

START_TEST(cancel_during_offload)
{
	prepare_work(true);
	spawn(offload_once, &three);
	coro_cancel(it);
	loop_run_until_idle();
	ck_assert_str_eq(trace, "");
	atomic_store(&may_go, true);
	run_until_ended();
	ck_assert_str_eq(trace, "oc");
}
END_TEST

static size_t n_back;

static void offload_quietly(void *arg)
{
	struct co_deadline d;

	co_deadline_begin(&d, now_mono());
	ck_assert_int_eq(co_offload(work, arg), *(int *)arg);
	co_deadline_end(&d);
	n_back++;
}

START_TEST(many_offloads_share_few_threads)
{
	enum { N = 1000 };

	prepare_work(true);
	n_back = 0;
	for (int i = 0; i < N; i++)
		coro_spawn(offload_quietly, &three, CORO_STACK_SMALL, NULL);
	loop_run_until_idle();
	atomic_store(&may_go, true);
	while (n_back < N)
		loop_turn(true);
	ck_assert_int_eq(atomic_load(&n_worked), N);
}
END_TEST

static void plain_work(struct offload *o)
{
	(void)o;
	atomic_fetch_add(&n_worked, 1);
}

static void plain_done(struct offload *o)
{
	ck_assert_ptr_null(coro_self());
	o->work = NULL;
	n_back++;
}

START_TEST(the_plain_form)
{
	struct offload o[20];

	prepare_work(false);
	n_back = 0;
	for (int i = 0; i < 20; i++) {
		o[i] = (struct offload){ .work = plain_work, .done = plain_done };
		offload_submit(&o[i]);
	}
	while (n_back < 20)
		loop_turn(true);
	ck_assert_int_eq(atomic_load(&n_worked), 20);
}
END_TEST

START_TEST(fini_finishes_what_was_submitted)
{
	struct offload o[20];

	prepare_work(false);
	n_back = 0;
	for (int i = 0; i < 20; i++) {
		o[i] = (struct offload){ .work = plain_work, .done = plain_done };
		offload_submit(&o[i]);
	}
	offload_fini();
	ck_assert_int_eq(atomic_load(&n_worked), 20);
	ck_assert_uint_eq(n_back, 0);
	loop_run_until_idle();
	ck_assert_uint_eq(n_back, 20);
	offload_submit(&(struct offload){ .work = plain_work, .done = plain_done });
	offload_fini(); /* and it can begin again */
	ck_assert_int_eq(atomic_load(&n_worked), 21);
}
END_TEST

/* ---- suite ---- */

static TCase *offload_case(void)
{
	TCase *tc = tcase_create("offload");

	tcase_add_test(tc, offload_returns_what_the_work_returned);
	tcase_add_test(tc, cancel_during_offload);
	tcase_add_test(tc, many_offloads_share_few_threads);
	tcase_add_test(tc, the_plain_form);
	tcase_add_test(tc, fini_finishes_what_was_submitted);
	return tc;
}

static void add_case(Suite *s, TCase *tc)
{
	co_add_case(s, tc, setup, teardown);
}

int main(void)
{
	Suite *s = suite_create("offload");

	add_case(s, offload_case());
	return suite_run(s);
}
