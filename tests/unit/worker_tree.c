/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/unit/worker_fixture.h"

/* Of the trees of workers nothing is ever left (R3.5, R3.6, R3.9, T5). */

/* ---- ends ---- */

START_TEST(a_polite_end)
{
	struct msg_exited e;
	int64_t begun;

	run_script(1, "sleep $1");
	expect(SUP_STARTED);
	wait_for_at_least(1);
	begun = now_ms();
	kill_job(1, 10000000);
	e = expect_exited();
	ck_assert_int_lt(now_ms() - begun, 2000);
	ck_assert_int_eq(e.term_signal, SIGTERM);
	ck_assert_uint_eq(e.flags, 0);
	ck_assert_int_eq(count_marked(), 0);
}
END_TEST

START_TEST(a_clean_up_has_its_grace)
{
	struct msg_exited e;

	run_script(1, "trap 'sleep 0.3; echo cleaned; exit 3' TERM; echo ready; sleep $1 & wait");
	expect(SUP_STARTED);
	wait_for_at_least(2);
	poll(NULL, 0, 50);
	kill_job(1, 10000000);
	e = expect_exited();
	ck_assert_int_eq(e.exit_status, 3);
	expect_output(1, "ready\ncleaned\n");
}
END_TEST

/* T5: TERM at once, KILL after the grace, nobody left. */
static void kill_stubborn(const char *script, int n_processes)
{
	struct msg_exited e;
	int64_t begun, took;

	run_script(1, script);
	expect(SUP_STARTED);
	wait_for_at_least(n_processes);
	begun = now_ms();
	kill_job(1, 500000);
	e = expect_exited();
	took = now_ms() - begun;
	ck_assert_int_eq(count_marked(), 0);
	ck_assert_uint_eq(e.flags, SUP_EXITED_KILLED);
	ck_assert_msg(took >= 500 && took < 2000, "took %" PRId64 " ms", took);
}

START_TEST(it_ignores_term)
{
	kill_stubborn("trap '' TERM; sleep $1 & sleep $1", 2);
}
END_TEST

START_TEST(it_is_stopped)
{
	struct msg_exited e;

	run_script(1, "echo x; kill -STOP $$; sleep $1");
	expect(SUP_STARTED);
	poll(NULL, 0, 100);
	kill_job(1, 10000000);
	e = expect_exited();
	ck_assert_int_eq(e.term_signal, SIGTERM);
}
END_TEST

/* Finding 9: a group kill misses these; marks in the environment would miss the second. */
START_TEST(children_in_other_sessions)
{
	kill_stubborn("trap '' TERM; setsid sleep $1 & env -i setsid sleep $1 &"
		      "(setsid sh -c 'sleep $0 &' $1 &); sleep $1",
		      4);
}
END_TEST

START_TEST(double_forks_with_wiped_environments)
{
	kill_stubborn("trap '' TERM; (env -i setsid sh -c '(sleep $0 &) ; :' $1 &);"
		      "(env -i sh -c '(setsid sleep $0 &)' $1 &); sleep $1",
		      4);
}
END_TEST

START_TEST(it_forks_all_the_time)
{
	kill_stubborn("trap '' TERM; while :; do setsid sleep $1 & sleep 0.01; done", 10);
}
END_TEST

START_TEST(it_hops_from_child_to_child)
{
	cleanup_free char *hop = xasprintf("%s/hop", dir);
	FILE *f = fopen(hop, "we");

	/* Each is gone before anybody has seen it; eight at a time. */
	fprintf(f, "#!/bin/sh\ntrap '' TERM\nsetsid %s $1 &\n", hop);
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_int_eq(chmod(hop, 0755), 0);
	{
		cleanup_free char *script = xasprintf(
			"trap '' TERM; for i in 1 2 3 4 5 6 7 8; do %s $1 & done; sleep $1", hop);

		kill_stubborn(script, 3);
	}
}
END_TEST

START_TEST(a_shorter_grace_counts)
{
	int64_t begun;

	run_script(1, "trap '' TERM; sleep $1 & sleep $1");
	expect(SUP_STARTED);
	wait_for_at_least(2);
	kill_job(1, 3600000000);
	kill_job(1, 7200000000);
	begun = now_ms();
	kill_job(1, 0);
	expect_exited();
	ck_assert_int_lt(now_ms() - begun, 1500);
}
END_TEST

START_TEST(a_kill_right_behind_the_start)
{
	struct msg_exited e;

	run_script(1, "sleep $1");
	kill_job(1, 0);
	e = expect_exited();
	ck_assert_int_eq(e.term_signal, SIGKILL);
	/* And one that comes too late, or for nobody, is nothing. */
	kill_job(1, 0);
	kill_job(77, 0);
	run_script(2, "exit 0");
	expect_exited();
}
END_TEST

/* T6: the run ends within a second of the main process, with all that was written before. */
START_TEST(a_grandchild_holds_the_pipe)
{
	struct msg_exited e;
	int64_t begun = now_ms(), took;

	run_script(1, "(sleep $1 &); (setsid sleep $1 &); echo done");
	e = expect_exited();
	took = now_ms() - begun;
	ck_assert_msg(took >= 900 && took < 2500, "took %" PRId64 " ms", took);
	ck_assert_int_eq(e.exit_status, 0);
	ck_assert_uint_eq(e.n_leftovers, 2);
	ck_assert_int_eq(count_marked(), 0);
	expect_output(1, "done\n");
}
END_TEST

START_TEST(a_grandchild_without_the_pipe)
{
	struct msg_exited e;
	int64_t begun = now_ms();

	run_script(1, "setsid sleep $1 >/dev/null 2>&1 & echo done");
	e = expect_exited();
	ck_assert_int_lt(now_ms() - begun, 900);
	ck_assert_uint_eq(e.n_leftovers, 1);
	ck_assert_int_eq(count_marked(), 0);
}
END_TEST

START_TEST(a_hundred_at_once)
{
	bool seen[101] = { false };
	int n_started = 0, n_exited = 0;

	for (int64_t job = 1; job <= 100; job++)
		run_script(job, "echo hi; sleep 0.3");
	while (n_exited < 100) {
		struct msg m = next_message();

		n_started += m.type == SUP_STARTED;
		if (m.type != SUP_EXITED)
			continue;
		ck_assert(m.job >= 1 && m.job <= 100 && !seen[m.job]);
		seen[m.job] = true;
		ck_assert_int_eq(m.exited.exit_status, 0);
		expect_output(m.job, "hi\n");
		n_exited++;
	}
	ck_assert_int_eq(n_started, 100);
}
END_TEST

/* ---- somebody else dies ---- */

START_TEST(the_minder_is_killed)
{
	struct tree_stat st;
	struct msg m;

	run_script(1, "(setsid sleep $1 &); env -i setsid sleep $1 & sleep $1");
	m = expect(SUP_STARTED);
	wait_for_at_least(3);
	ck_assert_int_eq(tree_read_stat(m.started.pid, &st), 0);
	ck_assert_int_eq(kill(st.ppid, SIGKILL), 0);
	m = expect(SUP_EXITED);
	ck_assert_uint_eq(m.exited.flags, SUP_EXITED_LOST);
	ck_assert_int_eq(m.exited.exit_status, -1);
	ck_assert_int_eq(count_marked(), 0);
	/* The others are none the worse for it. */
	run_script(2, "exit 0");
	ck_assert_int_eq(expect_exited().exit_status, 0);
}
END_TEST

/*
 * What the minder says last counts, though it has not read all we sent to it: with a leftover
 * it ends then, else it is free and what it reads later is for an attempt that is over.
 */
START_TEST(messages_cross_an_end)
{
	bool has_leftover = _i;
	struct tree_stat st;
	struct msg m;
	struct msg_exited e;

	run_script(1, has_leftover ? "sleep $1 >/dev/null 2>&1 & kill -STOP $$; exit 3"
				   : "kill -STOP $$; exit 3");
	m = expect(SUP_STARTED);
	wait_for_state(m.started.pid, 'T');
	ck_assert_int_eq(tree_read_stat(m.started.pid, &st), 0);
	ck_assert_int_eq(kill(st.ppid, SIGSTOP), 0);
	for (int i = 0; i < 50; i++)
		send_msg(&(struct msg){ .type = SUP_ACK, .job = 1, .attempt = 1 });
	/* An answer to what comes behind them says that they have been passed on. */
	run_script(2, "exit 0");
	expect_exited();
	ck_assert_int_eq(kill(supervisor, SIGSTOP), 0);
	ck_assert_int_eq(kill(m.started.pid, SIGCONT), 0);
	wait_for_state(m.started.pid, 'Z');
	ck_assert_int_eq(kill(st.ppid, SIGCONT), 0);
	if (has_leftover)
		wait_for_state(st.ppid, 'Z');
	ck_assert_int_eq(kill(supervisor, SIGCONT), 0);
	e = expect_exited();
	ck_assert_uint_eq(e.flags, has_leftover ? SUP_EXITED_KILLED : 0);
	ck_assert_int_eq(e.exit_status, 3);
	run_script(3, "exit 4");
	ck_assert_int_eq(expect_exited().exit_status, 4);
}
END_TEST

/* ---- minders that are used again ---- */

/* Run @script, which says who its parent is; the minder's pid. */
static pid_t minder_of(int64_t job, const char *script)
{
	struct output_read r;
	pid_t pid;

	run_script(job, script);
	expect_exited();
	r = output(job, OUTPUT_BOTH);
	pid = (pid_t)strtol(r.data, NULL, 10);
	output_read_fini(&r);
	ck_assert_int_gt(pid, 1);
	return pid;
}

START_TEST(a_free_minder_is_used_again)
{
	pid_t first = minder_of(1, "echo $PPID");

	ck_assert_int_eq(minder_of(2, "echo $PPID; exit 3"), first);
	ck_assert_int_eq(minder_of(3, "echo $PPID; kill -KILL $$"), first);
	ck_assert_int_eq(minder_of(4, "echo $PPID"), first);
}
END_TEST

START_TEST(what_was_used_is_counted_by_attempt)
{
	struct msg_exited big, small;

	run_script(1, "n=0; while [ $n -lt 100000 ]; do n=$((n+1)); done; "
		      "x=$(head -c 20000000 /dev/zero | tr '\\0' x); echo ${#x}");
	big = expect_exited();
	ck_assert_int_eq(big.output_bytes, 9);
	run_script(2, "exit 0");
	small = expect_exited();
	ck_assert_int_gt(big.max_rss_bytes, 20000000);
	ck_assert_int_lt(small.max_rss_bytes, 20000000);
	ck_assert_int_gt(big.user_us + big.system_us, small.user_us + small.system_us);
	ck_assert_int_eq(small.output_bytes, 0);
}
END_TEST

START_TEST(one_that_saw_anything_odd_is_not_used_again)
{
	pid_t first = minder_of(1, "sleep $1 >/dev/null 2>&1 & echo $PPID"), second;

	second = minder_of(2, "echo $PPID");
	ck_assert_int_ne(second, first);
	run_script(3, "exec sleep $1");
	expect(SUP_STARTED);
	kill_job(3, 0);
	expect_exited();
	ck_assert_int_ne(minder_of(4, "echo $PPID"), second);
}
END_TEST

static void wait_until_gone(pid_t pid)
{
	int64_t end = now_ms() + WAIT_MS;
	struct tree_stat st;

	while (tree_read_stat(pid, &st) == 0) {
		ck_assert_int_lt(now_ms(), end);
		poll(NULL, 0, 5);
	}
}

START_TEST(a_free_minder_is_killed)
{
	pid_t first = minder_of(1, "echo $PPID");

	ck_assert_int_eq(kill(first, SIGKILL), 0);
	wait_until_gone(first);
	ck_assert_int_ne(minder_of(2, "echo $PPID"), first);
}
END_TEST

/* It is there for the next start, not for ever. */
START_TEST(a_free_minder_ends_after_a_while)
{
	wait_until_gone(minder_of(1, "echo $PPID"));
	minder_of(2, "echo $PPID");
}
END_TEST

/* More than a minder takes in a message: it gets one of its own. */
START_TEST(a_long_start_is_no_matter)
{
	cleanup_free char *text = xmalloc(200001);
	const char *argv[] = { "wc", "-c", NULL };

	minder_of(1, "echo $PPID");
	memset(text, 'x', 200000);
	text[200000] = '\0';
	run_program(2, argv, "/", text);
	ck_assert_int_eq(expect_exited().exit_status, 0);
	expect_output(2, "200000\n");
}
END_TEST

static void run_three_trees(void)
{
	for (int64_t job = 1; job <= 3; job++)
		run_script(job, "trap '' TERM; (env -i setsid sleep $1 &); sleep $1 & sleep $1");
	wait_for_at_least(12);
}

START_TEST(the_supervisor_is_killed)
{
	run_three_trees();
	ck_assert_int_eq(kill(supervisor, SIGKILL), 0);
	wait_for_supervisor();
	wait_for_marked(0);
}
END_TEST

START_TEST(the_daemon_is_killed)
{
	run_three_trees();
	close(sock);
	sock = -1;
	ck_assert_int_eq(wait_for_supervisor(), 0);
	ck_assert_int_eq(count_marked(), 0);
}
END_TEST

START_TEST(nonsense_ends_the_connection)
{
	run_three_trees();
	ck_assert_int_eq(send(sock, "\4\0\0\0\xff\xff\0\0", 8, MSG_NOSIGNAL), 8);
	ck_assert_int_eq(WEXITSTATUS(wait_for_supervisor()), 1);
	ck_assert_int_eq(count_marked(), 0);
}
END_TEST

START_TEST(signals_are_for_the_daemon)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1 };

	for (size_t i = 0; i < 4; i++)
		ck_assert_int_eq(kill(supervisor, signals[i]), 0);
	run_script(1, "exit 0");
	expect_exited();
}
END_TEST

/* ---- leftovers, by identity (R3.9) ---- */

static pid_t fork_leftover(void)
{
	static const char *env[] = { "PATH=/usr/bin:/bin", "AWAITD_JOB_ID=55", "AWAITD_ATTEMPT=3",
				     NULL };
	pid_t pid = fork();

	if (pid == 0) {
		setsid();
		execle("/bin/sh", "sh", "-c", "(sleep $1 &); sleep $1 & sleep $1; :", "sh", mark,
		       (char *)NULL, env);
		_exit(1);
	}
	wait_for_at_least(4);
	return pid;
}

START_TEST(leftovers_are_ended_by_identity)
{
	struct tree_identity id = { .job = 55, .attempt = 3 }, other;
	struct tree_stat st;

	id.pid = fork_leftover();
	ck_assert_int_eq(tree_read_stat(id.pid, &st), 0);
	id.start_ticks = st.start_ticks;
	/*
	 * The number has changed hands: it started later than what we are looking for, and
	 * is not of our job.
	 */
	other = id;
	other.start_ticks--;
	other.job = 56;
	ck_assert_uint_eq(tree_end_leftover(&other, 100), 0);
	other.job = 55;
	other.attempt = 4;
	ck_assert_uint_eq(tree_end_leftover(&other, 100), 0);
	other = id;
	other.start_ticks += 100000;
	ck_assert_uint_eq(tree_end_leftover(&other, 100), 0);
	ck_assert_int_eq(count_marked(), 4);
	ck_assert_uint_eq(tree_end_leftover(&id, 5000), 0);
	waitpid(id.pid, NULL, 0);
	wait_for_marked(0);
}
END_TEST

/* The main process is gone, its session lives on. */
START_TEST(leftovers_without_their_leader)
{
	struct tree_identity id = { .job = 55, .attempt = 3 };
	struct tree_stat st;

	id.pid = fork_leftover();
	ck_assert_int_eq(tree_read_stat(id.pid, &st), 0);
	id.start_ticks = st.start_ticks;
	kill(id.pid, SIGKILL);
	waitpid(id.pid, NULL, 0);
	ck_assert_int_eq(count_marked(), 3);
	ck_assert_uint_eq(tree_end_leftover(&id, 5000), 0);
	wait_for_marked(0);
}
END_TEST

static void add_tests(TCase *t)
{
	tcase_add_test(t, a_polite_end);
	tcase_add_test(t, a_clean_up_has_its_grace);
	tcase_add_test(t, it_ignores_term);
	tcase_add_test(t, it_is_stopped);
	tcase_add_test(t, children_in_other_sessions);
	tcase_add_test(t, double_forks_with_wiped_environments);
	tcase_add_test(t, it_forks_all_the_time);
	tcase_add_test(t, it_hops_from_child_to_child);
	tcase_add_test(t, a_shorter_grace_counts);
	tcase_add_test(t, a_kill_right_behind_the_start);
	tcase_add_test(t, a_grandchild_holds_the_pipe);
	tcase_add_test(t, a_grandchild_without_the_pipe);
	tcase_add_test(t, a_hundred_at_once);
	tcase_add_test(t, the_minder_is_killed);
	tcase_add_loop_test(t, messages_cross_an_end, 0, 2);
	tcase_add_test(t, a_free_minder_is_used_again);
	tcase_add_test(t, what_was_used_is_counted_by_attempt);
	tcase_add_test(t, one_that_saw_anything_odd_is_not_used_again);
	tcase_add_test(t, a_free_minder_is_killed);
	tcase_add_test(t, a_free_minder_ends_after_a_while);
	tcase_add_test(t, a_long_start_is_no_matter);
	tcase_add_test(t, the_supervisor_is_killed);
	tcase_add_test(t, the_daemon_is_killed);
	tcase_add_test(t, nonsense_ends_the_connection);
	tcase_add_test(t, signals_are_for_the_daemon);
	tcase_add_test(t, leftovers_are_ended_by_identity);
	tcase_add_test(t, leftovers_without_their_leader);
}

int main(void)
{
	return worker_main("worker_tree", add_tests);
}
