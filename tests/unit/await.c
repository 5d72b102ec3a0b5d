/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/co/await.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/co_fixture.h"

#define SECOND_US INT64_C(1000000)

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

static void spawn(coro_fn *fn, void *arg)
{
	it = coro_spawn(fn, arg, CORO_STACK_SMALL, on_ended);
	loop_run_until_idle();
}

static struct mono in_s(int64_t n)
{
	return mono_in_us(n * SECOND_US);
}

/* ---- sleep ---- */

static void sleep_twice(void *arg)
{
	(void)arg;
	note_end(co_sleep_until(in_s(2)));
	note_end(co_sleep_until(in_s(2)));
}

START_TEST(sleep_lasts_as_long_as_it_should)
{
	spawn(sleep_twice, NULL);
	advance(2 * SECOND_US - 1);
	ck_assert_str_eq(trace, "");
	advance(1);
	ck_assert_str_eq(trace, "0");
	advance(2 * SECOND_US);
	ck_assert_str_eq(trace, "00");
	ck_assert(is_ended);
}
END_TEST

START_TEST(cancel_while_sleeping)
{
	spawn(sleep_twice, NULL);
	coro_cancel(it);
	loop_run_until_idle();
	ck_assert_str_eq(trace, "c");
	advance(SECOND_US);
	ck_assert_str_eq(trace, "c"); /* the first timer is gone, the second not there yet */
	advance(SECOND_US);
	ck_assert_str_eq(trace, "c0");
}
END_TEST

static void cancel_it(struct loop_timer *timer)
{
	(void)timer;
	ck_assert(!coro_is_waiting(it));
	coro_cancel(it);
}

START_TEST(a_sleep_that_is_over_is_no_timeout)
{
	struct loop_timer later = { .fn = cancel_it };

	spawn(sleep_twice, NULL);
	loop_timer_set(&later, in_s(2)); /* same instant, fires after it */
	advance(2 * SECOND_US);
	ck_assert_str_eq(trace, "0c"); /* a normal wake first, the cancel at the next wait */
}
END_TEST

static void sleep_in_the_past(void *arg)
{
	(void)arg;
	note_end(co_sleep_until((struct mono){ 0 }));
}

static void note_a(void *arg)
{
	(void)arg;
	note("a");
}

START_TEST(a_sleep_in_the_past_gives_way)
{
	coro_spawn(sleep_in_the_past, NULL, CORO_STACK_SMALL, NULL);
	spawn(note_a, NULL);
	ck_assert_str_eq(trace, "a0");
}
END_TEST

static void yield_once(void *arg)
{
	(void)arg;
	note_end(co_yield());
	note_end(co_yield());
}

START_TEST(cancel_while_yielding)
{
	it = coro_spawn(yield_once, NULL, CORO_STACK_SMALL, NULL);
	coro_run_ready(1, SECOND_US);
	coro_cancel(it); /* it is ready already */
	loop_run_until_idle();
	ck_assert_str_eq(trace, "0c");
}
END_TEST

/* ---- descriptors ---- */

static int pair[2];

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

static void feed(void)
{
	ck_assert_int_eq(write(pair[1], "x", 1), 1);
}

static void read_one(void *arg)
{
	char c;

	(void)arg;
	note_end(co_wait_fd(pair[0], LOOP_READ, in_s(3)));
	note(read(pair[0], &c, 1) == 1 ? "r" : "e");
}

START_TEST(wait_for_a_descriptor)
{
	make_pair();
	spawn(read_one, NULL);
	ck_assert_str_eq(trace, "");
	feed();
	loop_run_until_idle();
	ck_assert_str_eq(trace, "0r");
	close_pair();
}
END_TEST

START_TEST(a_ready_descriptor_gives_way_as_well)
{
	make_pair();
	feed();
	coro_spawn(read_one, NULL, CORO_STACK_SMALL, NULL);
	spawn(note_a, NULL);
	ck_assert_str_eq(trace, "a0r");
	close_pair();
}
END_TEST

START_TEST(timeout_of_a_descriptor)
{
	make_pair();
	spawn(read_one, NULL);
	advance(3 * SECOND_US);
	ck_assert_str_eq(trace, "te");
	close_pair();
}
END_TEST

START_TEST(cancel_while_waiting_for_a_descriptor)
{
	make_pair();
	spawn(read_one, NULL);
	coro_cancel(it);
	feed(); /* in the same turn, but the cancel was first */
	loop_run_until_idle();
	ck_assert_str_eq(trace, "cr");
	close_pair();
}
END_TEST

static void write_more(void *arg)
{
	(void)arg;
	note_end(co_wait_fd(pair[0], LOOP_WRITE, MONO_NEVER));
	note("w");
}

START_TEST(two_wait_for_one_descriptor)
{
	make_pair();
	spawn(read_one, NULL);
	spawn(write_more, NULL);
	ck_assert_str_eq(trace, "0w");
	feed();
	loop_run_until_idle();
	ck_assert_str_eq(trace, "0w0r");
	close_pair();
}
END_TEST

START_TEST(a_closed_peer_is_ready)
{
	make_pair();
	spawn(read_one, NULL);
	close(pair[1]);
	loop_run_until_idle();
	ck_assert_str_eq(trace, "0e");
	close(pair[0]);
}
END_TEST

static void wait_for_none(void *arg)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)arg;
	ck_assert_int_eq(co_wait_fd(-1, LOOP_READ, MONO_NEVER), -EBADF);
	close(fd);
	ck_assert_int_eq(co_wait_fd(fd, LOOP_READ, MONO_NEVER), -EBADF);
	note("ok");
}

START_TEST(a_bad_descriptor_is_an_error)
{
	spawn(wait_for_none, NULL);
	ck_assert_str_eq(trace, "ok");
}
END_TEST

static void echo(void *arg)
{
	int fd = *(int *)arg;
	char c;

	for (int i = 0; i < 1000; i++) {
		ck_assert_int_eq(write(fd, "x", 1), 1);
		ck_assert_int_eq(co_wait_fd(fd, LOOP_READ, in_s(1)), 0);
		ck_assert_int_eq(read(fd, &c, 1), 1);
	}
	note("e");
}

START_TEST(ping_pong)
{
	make_pair();
	coro_spawn(echo, &pair[0], CORO_STACK_SMALL, NULL);
	spawn(echo, &pair[1]);
	ck_assert_str_eq(trace, "ee");
	close_pair();
}
END_TEST

/* ---- futures ---- */

static struct future future;

static void wait_for_future(void *arg)
{
	int result = 7;

	note(arg ? arg : "");
	note_end(co_future_wait(&future, in_s(1), &result));
	note(result == 42 ? "v" : "-");
}

START_TEST(a_future_wakes_all_its_waiters)
{
	future_init(&future);
	spawn(wait_for_future, NULL);
	spawn(wait_for_future, NULL);
	future_set(&future, 42);
	memset(&future, 0xff, sizeof(future)); /* it may be gone at once */
	loop_run_until_idle();
	ck_assert_str_eq(trace, "0v0v");
}
END_TEST

START_TEST(a_future_that_is_set_does_not_yield)
{
	future_init(&future);
	future_set(&future, 42);
	coro_spawn(wait_for_future, (void *)"1", CORO_STACK_SMALL, NULL);
	spawn(wait_for_future, (void *)"2");
	ck_assert_str_eq(trace, "10v20v");
}
END_TEST

START_TEST(timeout_and_cancel_of_a_future)
{
	future_init(&future);
	spawn(wait_for_future, NULL);
	advance(SECOND_US);
	ck_assert_str_eq(trace, "t-");
	spawn(wait_for_future, NULL);
	coro_cancel(it);
	future_set(&future, 42); /* too late: the cancel is queued */
	loop_run_until_idle();
	ck_assert_str_eq(trace, "t-c-");
}
END_TEST

START_TEST(a_future_set_before_the_cancel)
{
	future_init(&future);
	spawn(wait_for_future, NULL);
	future_set(&future, 42);
	coro_cancel(it);
	loop_run_until_idle();
	ck_assert_str_eq(trace, "0v");
}
END_TEST

START_TEST(setting_a_future_twice_is_a_bug)
{
	future_init(&future);
	future_set(&future, 1);
	future_set(&future, 1);
}
END_TEST

/* ---- signal flags ---- */

static struct signal_flag flag;

static void wait_for_flag(void *arg)
{
	for (int n = *(int *)arg; n > 0; n--)
		note_end(co_signal_wait(&flag, in_s(1)));
}

START_TEST(a_flag_is_seen_once)
{
	int n = 3;

	flag = (struct signal_flag){ 0 };
	signal_flag_raise(&flag);
	signal_flag_raise(&flag);
	spawn(wait_for_flag, &n);
	ck_assert_str_eq(trace, "0");
	signal_flag_raise(&flag);
	signal_flag_raise(&flag);
	loop_run_until_idle();
	ck_assert_str_eq(trace, "00");
	advance(SECOND_US);
	ck_assert_str_eq(trace, "00t");
}
END_TEST

START_TEST(a_flag_outlives_a_cancel)
{
	int n = 2;

	flag = (struct signal_flag){ 0 };
	spawn(wait_for_flag, &n);
	coro_cancel(it);
	signal_flag_raise(&flag);
	loop_run_until_idle();
	ck_assert_str_eq(trace, "c0");
}
END_TEST

/* ---- groups ---- */

static void sleep_some_seconds(void *arg)
{
	note_end(co_sleep_until(in_s(*(int *)arg)));
}

static void clean_up_slowly(void *arg)
{
	(void)arg;
	note_end(co_sleep_until(MONO_NEVER));
	note_end(co_sleep_until(in_s(1)));
}

static int one = 1, two = 2, three = 3;

static void gather(void *arg)
{
	struct co_group g;

	(void)arg;
	co_group_init(&g);
	co_group_spawn(&g, sleep_some_seconds, &two);
	co_group_spawn(&g, sleep_some_seconds, &one);
	ck_assert_uint_eq(g.n_members, 2);
	note("(");
	note_end(co_group_wait(&g, MONO_NEVER));
	ck_assert_uint_eq(g.n_members, 0);
	note_end(co_group_wait(&g, MONO_NEVER)); /* empty: at once */
	note(")");
}

START_TEST(a_group_waits_for_its_last_member)
{
	spawn(gather, NULL);
	ck_assert_str_eq(trace, "(");
	advance(SECOND_US);
	ck_assert_str_eq(trace, "(0");
	advance(SECOND_US);
	ck_assert_str_eq(trace, "(0000)");
	ck_assert(is_ended);
}
END_TEST

static void gather_with_timeout(void *arg)
{
	struct co_group g;

	(void)arg;
	co_group_init(&g);
	co_group_spawn(&g, sleep_some_seconds, &three);
	co_group_spawn(&g, clean_up_slowly, NULL);
	note("(");
	note_end(co_group_wait(&g, in_s(2)));
	ck_assert_uint_eq(g.n_members, 2);
	co_group_spawn(&g, note_a, NULL); /* never runs */
	co_group_cancel(&g);
	ck_assert_uint_eq(g.n_members, 3);
	note("|");
	note_end(co_group_wait(&g, MONO_NEVER));
	note(")");
}

START_TEST(a_group_settles_when_every_member_has)
{
	spawn(gather_with_timeout, NULL);
	advance(2 * SECOND_US);
	ck_assert_str_eq(trace, "(t|cc");
	advance(SECOND_US);
	ck_assert_str_eq(trace, "(t|cc00)");
	ck_assert(is_ended);
}
END_TEST

static void race(void *arg)
{
	struct co_group g;
	int r;

	(void)arg;
	co_group_init(&g);
	co_group_spawn(&g, clean_up_slowly, NULL);
	co_group_spawn(&g, clean_up_slowly, NULL);
	r = co_group_wait(&g, MONO_NEVER);
	note_end(r);
	co_group_cancel(&g);
	note("j");
	co_group_join(&g);
	ck_assert_uint_eq(g.n_members, 0);
	note_end(co_yield());
	note_end(co_yield());
}

START_TEST(a_cancelled_parent_takes_its_children_along)
{
	spawn(race, NULL);
	coro_cancel(it);
	loop_run_until_idle();
	ck_assert_str_eq(trace, "cjcc");
	coro_cancel(it); /* a second one: the join is deaf to it */
	loop_run_until_idle();
	ck_assert(!is_ended);
	advance(SECOND_US);
	ck_assert_str_eq(trace, "cjcc00c0"); /* it comes at the next wait */
	ck_assert(is_ended);
}
END_TEST

static void join_within_deadline(void *arg)
{
	struct co_deadline d;
	struct co_group g;

	(void)arg;
	co_group_init(&g);
	co_group_spawn(&g, sleep_some_seconds, &three);
	co_deadline_begin(&d, in_s(1));
	co_group_join(&g);
	note_end(co_sleep_until(in_s(1)));
	co_deadline_end(&d);
}

START_TEST(a_join_is_deaf_to_deadlines)
{
	spawn(join_within_deadline, NULL);
	advance(2 * SECOND_US);
	ck_assert_str_eq(trace, "");
	advance(SECOND_US);
	ck_assert_str_eq(trace, "0t");
}
END_TEST

static struct co_group abandoned;

static void abandon_children(void *arg)
{
	(void)arg;
	co_group_init(&abandoned);
	co_group_spawn(&abandoned, sleep_some_seconds, &one);
}

START_TEST(returning_before_the_children_is_a_bug)
{
	spawn(abandon_children, NULL);
	advance(SECOND_US); /* so that nothing else is left to complain about */
}
END_TEST

START_TEST(a_group_of_the_loops)
{
	struct co_group g;

	co_group_init(&g);
	co_group_spawn(&g, sleep_some_seconds, &one);
	loop_run_until_idle();
	co_group_cancel(&g);
	loop_run_until_idle();
	ck_assert_uint_eq(g.n_members, 0);
	ck_assert_str_eq(trace, "c");
}
END_TEST

/* ---- deadlines ---- */

static void nest_deadlines(void *arg)
{
	struct co_deadline outer, inner, later;

	(void)arg;
	co_deadline_begin(&outer, in_s(3));
	co_deadline_begin(&inner, in_s(1));
	co_deadline_begin(&later, in_s(10)); /* cannot make it longer */
	note_end(co_sleep_until(in_s(2)));
	ck_assert_int_eq(now_mono().ns, 1000000001);
	co_deadline_end(&later);
	note_end(co_suspend()); /* over already: at once */
	co_deadline_end(&inner);
	note_end(co_sleep_until(in_s(1)));
	note_end(co_suspend_until(MONO_NEVER));
	ck_assert_int_eq(now_mono().ns, 3000000001);
	co_deadline_end(&outer);
	note_end(co_sleep_until(in_s(5)));
	note(".");
}

START_TEST(the_earliest_deadline_holds)
{
	spawn(nest_deadlines, NULL);
	for (int i = 0; i < 8; i++)
		advance(SECOND_US);
	ck_assert_str_eq(trace, "tt0t0.");
}
END_TEST

static void sleep_to_the_deadline(void *arg)
{
	struct co_deadline d;

	(void)arg;
	co_deadline_begin(&d, in_s(1));
	note_end(co_sleep_until(in_s(1))); /* not after it: a whole sleep */
	co_deadline_end(&d);
}

START_TEST(a_sleep_that_ends_with_the_deadline)
{
	spawn(sleep_to_the_deadline, NULL);
	advance(SECOND_US);
	ck_assert_str_eq(trace, "0");
}
END_TEST

/* ---- suite ---- */

static TCase *sleep_case(void)
{
	TCase *tc = tcase_create("sleep");

	tcase_add_test(tc, sleep_lasts_as_long_as_it_should);
	tcase_add_test(tc, cancel_while_sleeping);
	tcase_add_test(tc, a_sleep_that_is_over_is_no_timeout);
	tcase_add_test(tc, a_sleep_in_the_past_gives_way);
	tcase_add_test(tc, cancel_while_yielding);
	tcase_add_test(tc, the_earliest_deadline_holds);
	tcase_add_test(tc, a_sleep_that_ends_with_the_deadline);
	return tc;
}

static TCase *fd_case(void)
{
	TCase *tc = tcase_create("fd");

	tcase_add_test(tc, wait_for_a_descriptor);
	tcase_add_test(tc, a_ready_descriptor_gives_way_as_well);
	tcase_add_test(tc, timeout_of_a_descriptor);
	tcase_add_test(tc, cancel_while_waiting_for_a_descriptor);
	tcase_add_test(tc, two_wait_for_one_descriptor);
	tcase_add_test(tc, a_closed_peer_is_ready);
	tcase_add_test(tc, a_bad_descriptor_is_an_error);
	tcase_add_test(tc, ping_pong);
	return tc;
}

static TCase *future_case(void)
{
	TCase *tc = tcase_create("future");

	tcase_add_test(tc, a_future_wakes_all_its_waiters);
	tcase_add_test(tc, a_future_that_is_set_does_not_yield);
	tcase_add_test(tc, timeout_and_cancel_of_a_future);
	tcase_add_test(tc, a_future_set_before_the_cancel);
	tcase_add_test(tc, a_flag_is_seen_once);
	tcase_add_test(tc, a_flag_outlives_a_cancel);
	return tc;
}

static TCase *group_case(void)
{
	TCase *tc = tcase_create("group");

	tcase_add_test(tc, a_group_waits_for_its_last_member);
	tcase_add_test(tc, a_group_settles_when_every_member_has);
	tcase_add_test(tc, a_cancelled_parent_takes_its_children_along);
	tcase_add_test(tc, a_join_is_deaf_to_deadlines);
	tcase_add_test(tc, a_group_of_the_loops);
	return tc;
}

static TCase *bug_case(void)
{
	TCase *tc = tcase_create("bug");

	tcase_add_test_raise_signal(tc, setting_a_future_twice_is_a_bug, SIGABRT);
	tcase_add_test_raise_signal(tc, returning_before_the_children_is_a_bug, SIGABRT);
	return tc;
}

static void add_case(Suite *s, TCase *tc)
{
	co_add_case(s, tc, setup, co_teardown);
}

int main(void)
{
	Suite *s = suite_create("await");
	SRunner *sr = srunner_create(s);

	add_case(s, sleep_case());
	add_case(s, fd_case());
	add_case(s, future_case());
	add_case(s, group_case());
	if (srunner_fork_status(sr) == CK_FORK)
		add_case(s, bug_case());
	return suite_end(sr);
}
