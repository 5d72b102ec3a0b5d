/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/co/loop.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <check.h>

#include "daemon/base/list.h"
#include "daemon/co/coro.h"
#include "tests/unit/suite.h"

#define SECOND_US INT64_C(1000000)
#define N_BURST 5000

static void setup_real(void)
{
	ck_assert_int_eq(loop_init(), 0);
}

static void setup(void)
{
	now_fake_start((struct mono){ 1 }, (struct boot){ 1 }, (struct wall){ 1 });
	setup_real();
}

static void teardown(void)
{
	loop_fini();
	now_fake_stop();
}

static void advance(int64_t us)
{
	now_fake_advance_us(us);
	loop_run_until_idle();
}

/* ---- timers ---- */

struct test_timer {
	struct loop_timer timer;
	int64_t due_ns;
	int number;
};

static int n_fired, last_number;
static struct test_timer timers[N_BURST];

static void on_timer(struct loop_timer *timer)
{
	struct test_timer *t = container_of(timer, struct test_timer, timer);

	ck_assert(!loop_timer_is_set(timer));
	ck_assert_int_ge(now_mono().ns, t->due_ns); /* never early */
	n_fired++;
	last_number = t->number;
}

static void set_timer(int i, struct mono when)
{
	timers[i] = (struct test_timer){ .timer.fn = on_timer, .due_ns = when.ns, .number = i };
	loop_timer_set(&timers[i].timer, when);
}

START_TEST(timers_fire_in_order_and_not_early)
{
	n_fired = 0;
	for (int i = 0; i < 100; i++)
		set_timer(i, mono_in_us((i * 37) % 100 * 10 + 10));
	for (int i = 0; i < 100; i++) {
		advance(9);
		ck_assert_int_eq(n_fired, i);
		advance(1);
		ck_assert_int_eq(n_fired, i + 1);
		ck_assert_int_eq(last_number * 37 % 100, i);
	}
}
END_TEST

START_TEST(a_timer_moves_and_is_cancelled)
{
	n_fired = 0;
	set_timer(0, mono_in_us(10));
	ck_assert(loop_timer_is_set(&timers[0].timer));
	loop_timer_set(&timers[0].timer, mono_in_us(20));
	advance(15);
	ck_assert_int_eq(n_fired, 0);
	loop_timer_set(&timers[0].timer, MONO_NEVER);
	ck_assert(!loop_timer_is_set(&timers[0].timer));
	advance(100);
	ck_assert_int_eq(n_fired, 0);
	set_timer(0, mono_in_us(5));
	loop_timer_cancel(&timers[0].timer);
	loop_timer_cancel(&timers[0].timer);
	advance(100);
	ck_assert_int_eq(n_fired, 0);
	set_timer(0, (struct mono){ 0 }); /* in the past */
	loop_run_until_idle();
	ck_assert_int_eq(n_fired, 1);
}
END_TEST

START_TEST(a_burst_is_drained_in_slices)
{
	n_fired = 0;
	for (int i = 0; i < N_BURST; i++)
		set_timer(i, mono_in_us(10));
	now_fake_advance_us(10);
	ck_assert(loop_turn(true)); /* more is due: it must not wait either */
	ck_assert_int_eq(n_fired, 1000);
	ck_assert_int_eq(last_number, 999); /* equal instants in the order they were set */
	ck_assert(loop_turn(true));
	ck_assert_int_eq(n_fired, 2000);
	loop_run_until_idle();
	ck_assert_int_eq(n_fired, N_BURST);
}
END_TEST

static void set_again(struct loop_timer *timer)
{
	n_fired++;
	loop_timer_set(timer, now_mono());
}

START_TEST(a_timer_that_sets_itself_does_not_starve_the_rest)
{
	struct loop_timer t = { .fn = set_again };

	n_fired = 0;
	loop_timer_set(&t, now_mono());
	ck_assert(loop_turn(false));
	ck_assert_int_le(n_fired, 1000);
	loop_timer_cancel(&t);
}
END_TEST

/* On the real clock: 200 timers within 20 ms, each judged by on_timer(). */
START_TEST(precise_on_the_real_clock)
{
	n_fired = 0;
	for (int i = 0; i < 200; i++)
		set_timer(i, mono_in_us((i * 37) % 200 * 100 + 51));
	while (n_fired < 200)
		loop_turn(true);
}
END_TEST

static bool is_over;

static void end_it(struct loop_timer *timer)
{
	(void)timer;
	is_over = true;
	loop_stop();
}

/* Centuries ahead: it must neither fire nor make the loop spin. */
START_TEST(a_far_timer_does_not_fire)
{
	struct loop_timer end = { .fn = end_it };
	struct loop_stats stats;

	n_fired = 0;
	set_timer(0, (struct mono){ INT64_MAX - 1 });
	ck_assert(!loop_turn(false));
	loop_timer_set(&end, mono_in_us(30000));
	loop_run();
	loop_stats(&stats);
	ck_assert_int_eq(n_fired, 0);
	ck_assert_uint_lt(stats.turns, 10);
	loop_timer_cancel(&timers[0].timer);
}
END_TEST

START_TEST(a_turn_sleeps_although_a_timer_was_cancelled)
{
	struct loop_timer end = { .fn = end_it };
	struct loop_stats stats;

	set_timer(0, mono_in_us(1000));
	set_timer(1, mono_in_us(5000));
	loop_timer_set(&end, mono_in_us(20000));
	loop_turn(false);
	loop_timer_cancel(&timers[0].timer);
	loop_timer_cancel(&timers[1].timer);
	is_over = false;
	loop_run();
	ck_assert(is_over);
	loop_stats(&stats);
	ck_assert_uint_lt(stats.turns, 6);
}
END_TEST

/* ---- tasks ---- */

struct test_task {
	struct loop_task task;
	int number;
};

static int n_run, numbers[64];

static void on_task(struct loop_task *task)
{
	struct test_task *t = container_of(task, struct test_task, task);

	ck_assert(!task->is_queued);
	numbers[n_run++] = t->number;
}

START_TEST(tasks_run_later_in_order_once)
{
	struct test_task t[3];

	n_run = 0;
	for (int i = 0; i < 3; i++) {
		t[i] = (struct test_task){ .task.fn = on_task, .number = i };
		loop_defer(&t[i].task);
		loop_defer(&t[0].task); /* is queued already */
	}
	ck_assert_int_eq(n_run, 0);
	loop_turn(true);
	ck_assert_int_eq(n_run, 3);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(numbers[i], i);
}
END_TEST

static void defer_again(struct loop_task *task)
{
	if (++n_run < 10)
		loop_defer(task);
}

/* It is the next step's, of which a turn has a few, as long as they are short. */
START_TEST(a_task_that_defers_itself_holds_up_no_turn)
{
	struct loop_task t = { .fn = defer_again };

	n_run = 0;
	loop_defer(&t);
	for (int i = 3; i < 10; i += 3) {
		ck_assert(loop_turn(true));
		ck_assert_int_eq(n_run, i);
	}
	ck_assert(!loop_turn(true));
	ck_assert_int_eq(n_run, 10);
}
END_TEST

static void defer_again_slowly(struct loop_task *task)
{
	now_fake_advance_us(200);
	defer_again(task);
}

START_TEST(a_long_step_ends_the_turn)
{
	struct loop_task t = { .fn = defer_again_slowly };

	n_run = 0;
	loop_defer(&t);
	for (int i = 1; i < 10; i++) {
		ck_assert(loop_turn(true));
		ck_assert_int_eq(n_run, i);
	}
	ck_assert(!loop_turn(true));
	ck_assert_int_eq(n_run, 10);
}
END_TEST

static void free_task(struct loop_task *task)
{
	free(container_of(task, struct test_task, task));
	n_run++;
}

static void take_a_millisecond(struct loop_task *task)
{
	now_fake_advance_us(1000);
	free_task(task);
}

START_TEST(a_turn_of_tasks_is_bounded)
{
	n_run = 0;
	for (int i = 0; i < 100; i++) {
		struct test_task *t = calloc(1, sizeof(*t));

		t->task.fn = take_a_millisecond;
		loop_defer(&t->task);
	}
	ck_assert(loop_turn(true));
	ck_assert_int_gt(n_run, 0);
	ck_assert_int_lt(n_run, 50);
	loop_run_until_idle();
	ck_assert_int_eq(n_run, 100);
}
END_TEST

#define N_POSTS 20000
#define N_POSTERS 4

static int n_posted[N_POSTERS];

static void on_posted_task(struct loop_task *task)
{
	struct test_task *t = container_of(task, struct test_task, task);
	int poster = t->number / N_POSTS;

	ck_assert_int_eq(t->number % N_POSTS, n_posted[poster]); /* in order for each thread */
	n_posted[poster]++;
	n_run++;
	free(t);
}

static struct test_task *new_task(int number)
{
	struct test_task *t = malloc(sizeof(*t)); /* loop_post() must not trust what is in there */

	memset(t, 0xff, sizeof(*t));
	t->task.fn = on_posted_task;
	t->number = number;
	return t;
}

static void *post_many(void *arg)
{
	int base = *(int *)arg * N_POSTS;

	for (int i = 0; i < N_POSTS; i += 2) {
		struct test_task *a = new_task(base + i), *b = new_task(base + i + 1);

		if (i % 4 == 0) {
			loop_post(&a->task);
			loop_post(&b->task);
		} else {
			a->task.next = &b->task;
			loop_post_chain(&a->task, &b->task);
		}
	}
	return NULL;
}

START_TEST(posts_from_threads_arrive)
{
	pthread_t threads[N_POSTERS];
	int ids[N_POSTERS];

	n_run = 0;
	memset(n_posted, 0, sizeof(n_posted));
	for (int i = 0; i < N_POSTERS; i++) {
		ids[i] = i;
		pthread_create(&threads[i], NULL, post_many, &ids[i]);
	}
	while (n_run < N_POSTERS * N_POSTS)
		loop_turn(true);
	for (int i = 0; i < N_POSTERS; i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_eq(n_run, N_POSTERS * N_POSTS);
}
END_TEST

START_TEST(a_post_from_the_loops_own_thread)
{
	n_run = 0;
	n_posted[0] = 0;
	loop_post(&new_task(0)->task);
	loop_post(&new_task(1)->task);
	loop_run_until_idle();
	ck_assert_int_eq(n_run, 2);
}
END_TEST

/* ---- descriptors ---- */

static int pair[2];
static int n_ready;
static unsigned last_ready;

static void make_pair(void)
{
	int r = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair);

	ck_assert_int_eq(r, 0);
}

static void close_pair(void)
{
	close(pair[0]);
	close(pair[1]);
}

static void on_ready(struct loop_fd *lfd, unsigned ready)
{
	char c;

	n_ready++;
	last_ready = ready;
	if (ready & LOOP_READ)
		ck_assert_int_eq(read(lfd->fd, &c, 1), 1);
}

static void close_yourself(struct loop_fd *lfd, unsigned ready)
{
	on_ready(lfd, ready);
	loop_fd_close(lfd);
	memset(lfd, 0xff, sizeof(*lfd));
}

START_TEST(a_descriptor_is_watched)
{
	struct loop_fd lfd = { 0 };

	make_pair();
	n_ready = 0;
	ck_assert_int_eq(loop_fd_open(&lfd, pair[0], 0, on_ready), 0);
	ck_assert_int_eq(write(pair[1], "xyz", 3), 3);
	loop_run_until_idle();
	ck_assert_int_eq(n_ready, 0); /* nothing is wanted yet */
	ck_assert_int_eq(loop_fd_want(&lfd, LOOP_READ), 0);
	loop_turn(false);
	ck_assert_int_eq(n_ready, 1);
	ck_assert_uint_eq(last_ready, LOOP_READ);
	loop_run_until_idle();
	ck_assert_int_eq(n_ready, 3); /* level-triggered */
	ck_assert_int_eq(loop_fd_want(&lfd, LOOP_READ | LOOP_WRITE), 0);
	loop_turn(false);
	ck_assert_uint_eq(last_ready, LOOP_WRITE);
	ck_assert_int_eq(loop_fd_want(&lfd, 0), 0);
	loop_run_until_idle();
	ck_assert_int_eq(n_ready, 4);
	loop_fd_close(&lfd);
	loop_fd_close(&lfd); /* again, and on a zeroed one: nothing */
	close_pair();
}
END_TEST

START_TEST(a_descriptor_closed_in_its_callback)
{
	struct loop_fd lfd = { 0 }, other = { 0 };

	make_pair();
	n_ready = 0;
	ck_assert_int_eq(loop_fd_open(&lfd, pair[0], LOOP_READ, close_yourself), 0);
	ck_assert_int_eq(loop_fd_open(&other, pair[1], LOOP_READ, close_yourself), 0);
	ck_assert_int_eq(write(pair[1], "xy", 2), 2);
	ck_assert_int_eq(write(pair[0], "xy", 2), 2);
	loop_run_until_idle();
	ck_assert_int_eq(n_ready, 2);
	close_pair();
}
END_TEST

START_TEST(a_bad_descriptor_is_refused)
{
	struct loop_fd lfd = { 0 };

	ck_assert_int_eq(loop_fd_open(&lfd, -1, LOOP_READ, on_ready), -EBADF);
	ck_assert_int_eq(loop_fd_open(&lfd, 9999, LOOP_READ, on_ready), -EBADF);
	loop_fd_close(&lfd);
}
END_TEST

/* ---- signals, running, stopping ---- */

static int last_signal;

static void on_signal(int signo)
{
	last_signal = signo;
	loop_stop();
}

START_TEST(a_signal_comes_as_a_callback)
{
	ck_assert_int_eq(loop_on_signal(SIGUSR1, on_signal), 0);
	ck_assert_int_eq(loop_on_signal(SIGUSR2, on_signal), 0);
	raise(SIGUSR2);
	loop_run();
	ck_assert_int_eq(last_signal, SIGUSR2);
	raise(SIGUSR1);
	loop_run();
	ck_assert_int_eq(last_signal, SIGUSR1);
}
END_TEST

static void stop_and_defer(struct loop_task *task)
{
	loop_stop();
	n_run++;
	loop_defer(task);
}

START_TEST(stop_finishes_the_turn_only)
{
	struct loop_task t = { .fn = stop_and_defer };

	n_run = 0;
	loop_defer(&t);
	loop_run();
	ck_assert_int_eq(n_run, 1);
	loop_run();
	ck_assert_int_eq(n_run, 2);
	loop_stop(); /* before it runs: it does not run */
	loop_run();
	ck_assert_int_eq(n_run, 2);
}
END_TEST

static void block_the_loop(struct loop_task *task)
{
	(void)task;
	now_fake_advance_us(7000);
}

START_TEST(the_lag_is_measured)
{
	struct loop_task t = { .fn = block_the_loop };
	struct loop_stats stats;

	loop_stats(&stats);
	loop_defer(&t);
	loop_turn(false);
	loop_turn(false);
	loop_stats(&stats);
	ck_assert_int_eq(stats.lag_max_us, 7000);
	ck_assert_int_eq(stats.lag_last_us, 0);
	ck_assert_uint_eq(stats.turns, 2);
	loop_stats(&stats);
	ck_assert_int_eq(stats.lag_max_us, 0);
}
END_TEST

START_TEST(fini_takes_what_is_left)
{
	static struct loop_task t = { .fn = defer_again };
	static struct loop_task p = { .fn = defer_again };

	set_timer(0, mono_in_us(1));
	loop_defer(&t);
	loop_post(&p);
	loop_fini();
	ck_assert_int_eq(loop_init(), 0);
	n_run = 0;
	advance(SECOND_US);
	ck_assert_int_eq(n_run, 0);
}
END_TEST

/* ---- suite ---- */

static TCase *real_case(void)
{
	TCase *tc = tcase_create("real clock");

	tcase_add_checked_fixture(tc, setup_real, teardown);
	tcase_add_test(tc, precise_on_the_real_clock);
	tcase_add_test(tc, a_far_timer_does_not_fire);
	tcase_add_test(tc, a_turn_sleeps_although_a_timer_was_cancelled);
	tcase_add_test(tc, posts_from_threads_arrive);
	tcase_add_test(tc, a_signal_comes_as_a_callback);
	tcase_set_timeout(tc, 60);
	return tc;
}

static TCase *fake_case(void)
{
	TCase *tc = tcase_create("fake clock");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, timers_fire_in_order_and_not_early);
	tcase_add_test(tc, a_timer_moves_and_is_cancelled);
	tcase_add_test(tc, a_burst_is_drained_in_slices);
	tcase_add_test(tc, a_timer_that_sets_itself_does_not_starve_the_rest);
	tcase_add_test(tc, tasks_run_later_in_order_once);
	tcase_add_test(tc, a_task_that_defers_itself_holds_up_no_turn);
	tcase_add_test(tc, a_long_step_ends_the_turn);
	tcase_add_test(tc, a_turn_of_tasks_is_bounded);
	tcase_add_test(tc, a_post_from_the_loops_own_thread);
	tcase_add_test(tc, a_descriptor_is_watched);
	tcase_add_test(tc, a_descriptor_closed_in_its_callback);
	tcase_add_test(tc, a_bad_descriptor_is_refused);
	tcase_add_test(tc, stop_finishes_the_turn_only);
	tcase_add_test(tc, the_lag_is_measured);
	tcase_add_test(tc, fini_takes_what_is_left);
	tcase_set_timeout(tc, 60);
	return tc;
}

int main(void)
{
	Suite *s = suite_create("loop");

	suite_add_tcase(s, real_case());
	suite_add_tcase(s, fake_case());
	return suite_run(s);
}
