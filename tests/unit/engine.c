/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/unit/engine_fixture.h"

#include <sys/stat.h>
#include <unistd.h>

#include "daemon/co/await.h"
#include "daemon/job/alive.h"

/* ---- life ---- */

START_TEST(nothing_starts_before_running_is_committed)
{
	int64_t id = submit(WORKER);

	ck_assert_int_eq(n_pending, 1);
	ck_assert_int_eq(n_entered, 0);
	ck_assert_int_eq(state_of(id), JOB_WAITING);
	commit();
	ck_assert_int_eq(n_entered, 1);
	ck_assert_int_eq(state_of(id), JOB_RUNNING);
	end_attempt(id, 7);
	ck_assert_int_eq(state_of(id), JOB_RUNNING);
	commit();
	assert_done(id, JOB_SUCCEEDED);
	ck_assert_str_eq(row_of(id)->result, "7");
	ck_assert_ptr_null(row_of(id)->error);
}
END_TEST

static enum engine_note last_note;
static int n_notes;

static void on_note(struct job_watch *w, enum engine_note note)
{
	(void)w;
	last_note = note;
	n_notes++;
}

START_TEST(an_end_is_told_after_its_commit)
{
	struct job_watch w = { .fn = on_note };
	int64_t id = submit(WORKER);

	n_notes = 0;
	ck_assert(engine_watch(id, &w));
	commit();
	ck_assert_int_eq(n_notes, 1);
	end_attempt(id, -1);
	ck_assert_int_eq(n_notes, 1);
	commit();
	ck_assert_int_eq(n_notes, 2);
	ck_assert_int_eq(last_note, ENGINE_ENDED);
	assert_done(id, JOB_FAILED);
	ck_assert_ptr_nonnull(strstr(row_of(id)->error, "\"exit\""));
	ck_assert(!engine_watch(id, &w));
	engine_unwatch(&w);
}
END_TEST

START_TEST(slots_are_free_when_the_end_is_queued)
{
	int64_t a = submit(WORKER), b = submit(WORKER), c = submit(WORKER);

	commit();
	ck_assert_int_eq(n_entered, 2); /* the limit */
	ck_assert_int_eq(state_of(c), JOB_WAITING);
	end_attempt(a, 0);
	ck_assert_int_eq(n_pending, 2); /* the end and the next start share a commit */
	commit();
	ck_assert_int_eq(n_entered, 3);
	end_attempt(b, 0);
	end_attempt(c, 0);
	commit();
	assert_done(c, JOB_SUCCEEDED);
}
END_TEST

START_TEST(timer_is_never_early_and_has_no_stack)
{
	int64_t id = submit("{\"kind\":\"timer\",\"sleep\":1.5,\"value\":{\"a\":[1]}}");
	struct coro_stats cs;

	commit();
	ck_assert_int_eq(state_of(id), JOB_RUNNING);
	coro_stats(&cs);
	ck_assert_uint_eq(cs.n_live, 0);
	advance_us(1499999);
	ck_assert_int_eq(n_pending, 0);
	advance_us(1);
	ck_assert_int_eq(n_pending, 1);
	commit();
	assert_done(id, JOB_SUCCEEDED);
	ck_assert_str_eq(row_of(id)->result, "{\"a\":[1]}");
}
END_TEST

#define SHORT_TIMER "{\"kind\":\"timer\",\"sleep\":0.05}"

START_TEST(a_timer_is_not_late_because_its_start_is_being_stored)
{
	int64_t id = submit(SHORT_TIMER);

	ck_assert_int_eq(n_pending, 1);
	advance_us(50000);
	ck_assert_int_eq(n_pending, 1); /* the end waits for the commit of the start */
	advance_us(3000000);
	commit_all();
	assert_done(id, JOB_SUCCEEDED);
	ck_assert_int_eq(row_of(id)->ended.wall.ms - row_of(id)->started.wall.ms, 50);
}
END_TEST

START_TEST(delay_and_at)
{
	int64_t delay = submit("{\"kind\":\"worker\",\"argv\":[\"x\"],\"delay\":10}");
	int64_t at = submit("{\"kind\":\"worker\",\"argv\":[\"x\"],"
			    "\"at\":\"2023-11-14T22:13:25Z\"}"); /* 5 s from now */

	ck_assert_int_eq(n_pending, 0);
	now_fake_step_wall_ms(5000);
	advance_us(0);
	commit();
	ck_assert_int_eq(state_of(at), JOB_RUNNING);
	ck_assert_int_eq(state_of(delay), JOB_WAITING);
	advance_us(10000000);
	commit();
	ck_assert_int_eq(state_of(delay), JOB_RUNNING);
}
END_TEST

START_TEST(refusals)
{
	enum aw_code code;

	insert_result = -ENOSPC;
	ck_assert_int_lt(submit_as(WORKER, 1, &code), 0);
	ck_assert_int_eq(code, AW_STORAGE_FULL);
	insert_result = -EEXIST;
	ck_assert_int_lt(submit_as(WORKER, 1, &code), 0);
	ck_assert_int_eq(code, AW_CONFLICT);
	insert_result = 0;
	ck_assert_int_lt(
		submit_as("{\"kind\":\"worker\",\"argv\":[\"x\"],\"queue\":\"none\"}", 1, &code),
		0);
	ck_assert_int_eq(code, AW_NOT_FOUND);
	ck_assert_uint_eq(engine.tab.n, 0);
}
END_TEST

START_TEST(a_damaged_document_is_never_executed)
{
	int64_t id = submit(WORKER);

	free(row_of(id)->spec);
	row_of(id)->spec = xstrdup("{\"kind\":\"worker\",\"argv\":7}");
	commit_all();
	assert_done(id, JOB_FAILED);
	ck_assert_ptr_nonnull(strstr(row_of(id)->error, "\"damaged\""));
	ck_assert_int_eq(n_entered, 0);
}
END_TEST

/* ---- cancel, one test per state ---- */

START_TEST(cancel_waiting_for_time)
{
	int64_t id = submit("{\"kind\":\"timer\",\"sleep\":1,\"delay\":100}");
	struct asked a;

	cancel(&a, id, 1000, -1);
	ck_assert(!a.is_answered);
	commit();
	ck_assert(a.is_answered);
	ck_assert_int_eq(a.result, 0);
	assert_done(id, JOB_CANCELLED);
	advance_us(200000000);
	ck_assert_int_eq(n_pending, 0);
}
END_TEST

START_TEST(cancel_waiting_for_a_slot)
{
	struct asked a;
	int64_t id;

	engine_queue_set("worker", -1, 1, NULL, NULL);
	commit_all();
	id = submit(WORKER);
	ck_assert_int_eq(n_pending, 0);
	cancel(&a, id, 0, -1);
	commit();
	ck_assert_int_eq(a.result, 0);
	assert_done(id, JOB_CANCELLED);
	engine_queue_set("worker", -1, 0, NULL, NULL);
	commit_all();
	ck_assert_int_eq(n_entered, 0);
}
END_TEST

START_TEST(cancel_while_the_start_is_in_flight)
{
	int64_t id = submit(WORKER);
	struct asked a;

	cancel(&a, id, 1000, -1);
	commit();
	ck_assert(!a.is_answered);
	commit();
	ck_assert_int_eq(a.result, 0);
	assert_done(id, JOB_CANCELLED);
	ck_assert_int_eq(n_entered, 0);
}
END_TEST

START_TEST(cancel_running)
{
	int64_t id = submit(WORKER);
	struct asked a, b;

	is_stubborn = true;
	commit();
	cancel(&a, id, 1000, 3000000);
	ck_assert(!a.is_answered);
	ck_assert_int_eq(n_cancels_seen, 0); /* not before the request is durable */
	commit();
	ck_assert(a.is_answered);
	ck_assert_int_eq(state_of(id), JOB_STOPPING);
	ck_assert_int_eq(n_cancels_seen, 1);
	ck_assert_int_eq(grace_seen.ns, now_mono().ns + 3000000000);
	/* A second one is a no-op, but its shorter grace counts. */
	cancel(&b, id, 1000, 1000000);
	ck_assert(b.is_answered);
	ck_assert_int_eq(b.result, 0);
	ck_assert_int_eq(n_cancels_seen, 2);
	ck_assert_int_eq(grace_seen.ns, now_mono().ns + 1000000000);
	end_attempt(id, 0);
	commit();
	assert_done(id, JOB_CANCELLED); /* queued before the end was seen: whatever the end says */
	ck_assert_ptr_nonnull(strstr(row_of(id)->error, "\"by\":1000"));
}
END_TEST

START_TEST(cancel_in_flight_beats_a_later_end)
{
	int64_t id = submit(WORKER);
	struct asked a;

	is_stubborn = true;
	commit();
	cancel(&a, id, 1000, -1);
	end_attempt(id, 0);
	commit_all();
	ck_assert_int_eq(a.result, 0);
	assert_done(id, JOB_CANCELLED);
}
END_TEST

START_TEST(an_end_that_was_seen_first_wins)
{
	int64_t id = submit(WORKER);
	struct asked a;

	commit();
	end_attempt(id, 0);
	cancel(&a, id, 1000, -1);
	ck_assert(!a.is_answered);
	commit();
	ck_assert_int_lt(a.result, 0);
	ck_assert_int_eq(a.code, AW_WRONG_STATE);
	assert_done(id, JOB_SUCCEEDED);
}
END_TEST

START_TEST(cancel_a_timer_that_sleeps)
{
	int64_t id = submit("{\"kind\":\"timer\",\"sleep\":1000}");
	struct asked a;

	commit();
	cancel(&a, id, 1000, -1);
	commit_all();
	ck_assert_int_eq(a.result, 0);
	assert_done(id, JOB_CANCELLED);
}
END_TEST

START_TEST(cancel_before_the_end_of_a_timer_whose_start_is_in_flight)
{
	int64_t id = submit(SHORT_TIMER);
	struct asked a;

	cancel(&a, id, 1000, -1);
	advance_us(50000);
	commit_all();
	ck_assert(a.is_answered);
	ck_assert_int_eq(a.result, 0);
	assert_done(id, JOB_CANCELLED);
}
END_TEST

START_TEST(cancel_after_the_end_of_a_timer_whose_start_is_in_flight)
{
	int64_t id = submit(SHORT_TIMER);
	struct asked a;

	advance_us(50000);
	cancel(&a, id, 1000, -1);
	commit_all();
	ck_assert_int_eq(a.code, AW_WRONG_STATE);
	assert_done(id, JOB_SUCCEEDED);
}
END_TEST

START_TEST(stop_while_a_timer_s_start_is_in_flight)
{
	int64_t id = submit(SHORT_TIMER);

	engine_stop(false, NULL);
	commit_all();
	ck_assert_int_eq(state_of(id), JOB_RUNNING);
	crash();
	commit_all();
	advance_us(50000);
	commit_all();
	assert_done(id, JOB_SUCCEEDED);
}
END_TEST

START_TEST(cancel_done_unknown_and_foreign)
{
	int64_t id = submit(WORKER);
	struct asked a;

	cancel(&a, id, 1001, -1);
	ck_assert_int_eq(a.code, AW_NOT_FOUND);
	cancel(&a, 99, 1000, -1);
	commit_all();
	ck_assert_int_eq(a.code, AW_NOT_FOUND);
	end_attempt(id, 0);
	commit_all();
	cancel(&a, id, 1001, -1);
	commit_all();
	ck_assert_int_eq(a.code, AW_NOT_FOUND);
	cancel(&a, id, 1000, -1);
	commit_all();
	ck_assert_int_eq(a.code, AW_WRONG_STATE);
}
END_TEST

/* ---- timeouts ---- */

START_TEST(timeout_ends_an_attempt)
{
	int64_t id = submit("{\"kind\":\"worker\",\"argv\":[\"x\"],\"timeout\":2}");

	commit();
	advance_us(1999999);
	ck_assert_int_eq(n_pending, 0);
	advance_us(1);
	ck_assert_int_eq(n_pending, 1);
	commit_all();
	assert_done(id, JOB_TIMED_OUT);
}
END_TEST

START_TEST(cancel_after_a_timeout_stays_timed_out)
{
	int64_t id = submit("{\"kind\":\"worker\",\"argv\":[\"x\"],\"timeout\":2}");
	struct asked a;

	is_stubborn = true;
	commit();
	advance_us(2000000);
	cancel(&a, id, 1000, -1);
	commit();
	ck_assert(a.is_answered);
	ck_assert_int_eq(a.result, 0);
	end_attempt(id, 0);
	commit_all();
	assert_done(id, JOB_TIMED_OUT);
}
END_TEST

/* ---- orderly stop ---- */

static bool is_stopped;

static void on_stopped(void)
{
	is_stopped = true;
}

START_TEST(orderly_stop)
{
	int64_t lost = submit(WORKER), again = submit(WORKER_RETRY);
	int64_t queued = submit(WORKER), timer = submit("{\"kind\":\"timer\",\"sleep\":60}");
	enum aw_code code;

	commit();
	is_stopped = false;
	engine_stop(false, on_stopped);
	ck_assert_int_lt(submit_as(WORKER, 1, &code), 0);
	ck_assert_int_eq(code, AW_SHUTTING_DOWN);
	commit_all();
	ck_assert(is_stopped);
	assert_done(lost, JOB_LOST);
	ck_assert_int_eq(state_of(again), JOB_WAITING);
	ck_assert_int_eq(state_of(queued), JOB_WAITING);
	ck_assert_int_eq(row_of(queued)->attempt, 0);
	ck_assert_int_eq(state_of(timer), JOB_RUNNING);
}
END_TEST

START_TEST(a_start_in_flight_at_the_stop_waits_again)
{
	int64_t id = submit(WORKER);

	is_stopped = false;
	engine_stop(false, on_stopped);
	commit_all();
	ck_assert(is_stopped);
	ck_assert_int_eq(state_of(id), JOB_WAITING);
	ck_assert_int_eq(n_entered, 0);
}
END_TEST

START_TEST(a_stop_leaves_timers_as_they_are)
{
	int64_t delayed = submit("{\"kind\":\"timer\",\"sleep\":60,\"delay\":1}");
	int64_t due = submit(SHORT_TIMER);

	advance_us(1000000); /* the delayed one's start and the short one's are in flight */
	is_stopped = false;
	engine_stop(false, on_stopped);
	commit_all();
	ck_assert(is_stopped);
	ck_assert_int_eq(state_of(delayed), JOB_RUNNING);
	ck_assert_int_ne(state_of(due), JOB_WAITING);
	ck_assert_uint_eq(row_of(delayed)->attempt, 1);
}
END_TEST

START_TEST(a_stop_does_not_wait_for_a_full_disk)
{
	int64_t id = submit(WORKER);
	struct asked a;

	commit();
	is_store_full = true;
	is_stopped = false;
	cancel(&a, id, 1000, -1);
	ck_assert_int_eq(n_cancels_seen, 1); /* who fills the disk can be stopped */
	ck_assert(!a.is_answered);
	engine_stop(false, on_stopped);
	advance_us(1000000);
	ck_assert(is_stopped);
	/* The store is closed: what it kept is given up. */
	for (size_t i = 0; i < n_pending; i++) {
		pending[i]->result = -ENOSPC;
		pending[i]->done(pending[i]);
	}
	n_pending = 0;
	ck_assert(a.is_answered);
	ck_assert_int_eq(a.code, AW_STORAGE_FULL);
	ck_assert_int_eq(state_of(id), JOB_RUNNING);
}
END_TEST

START_TEST(drain_waits_for_attempts)
{
	int64_t a = submit(WORKER), b, c;

	b = submit(WORKER);
	c = submit(WORKER);
	commit();
	is_stopped = false;
	engine_stop(true, on_stopped);
	commit_all();
	ck_assert(!is_stopped);
	end_attempt(a, 0);
	end_attempt(b, 0);
	commit_all();
	ck_assert(is_stopped);
	assert_done(a, JOB_SUCCEEDED);
	ck_assert_int_eq(state_of(c), JOB_WAITING);
}
END_TEST

/* ---- restart ---- */

START_TEST(restart_applies_on_lost)
{
	int64_t lost = submit(WORKER), again = submit(WORKER_RETRY);
	int64_t timer = submit("{\"kind\":\"timer\",\"sleep\":60}");

	commit();
	advance_us(5000000);
	crash();
	commit();
	commit();
	assert_done(lost, JOB_LOST);
	ck_assert_int_eq(state_of(again), JOB_WAITING);
	commit();
	ck_assert_int_eq(state_of(again), JOB_RUNNING);
	ck_assert_int_eq(row_of(again)->attempt, 2);
	ck_assert_int_eq(n_entered, 1);
	/* The timer keeps its instant. */
	advance_us(54999999);
	ck_assert_int_eq(state_of(timer), JOB_RUNNING);
	ck_assert_int_eq(n_pending, 0);
	advance_us(1);
	commit();
	assert_done(timer, JOB_SUCCEEDED);
}
END_TEST

START_TEST(a_timer_that_was_due_before_its_timeout_succeeds_however_late)
{
	int64_t good = submit("{\"kind\":\"timer\",\"sleep\":2,\"timeout\":4}");
	int64_t bad = submit("{\"kind\":\"timer\",\"sleep\":4,\"timeout\":2}");

	commit_all();
	advance_us(500000);
	crash();
	now_fake_advance_us(10000000); /* nobody has looked meanwhile: the daemon was down */
	commit_all();
	advance_us(0);
	commit_all();
	assert_done(good, JOB_SUCCEEDED);
	assert_done(bad, JOB_TIMED_OUT);
}
END_TEST

START_TEST(three_losses_in_one_life_are_a_crash_loop)
{
	int64_t id = submit(WORKER_RETRY);

	for (int i = 1; i <= 3; i++) {
		commit_all();
		ck_assert_int_eq(state_of(id), JOB_RUNNING);
		ck_assert_uint_eq(row_of(id)->attempt, (uint32_t)i);
		end_attempt(id, -ECONNRESET);
		future_init(&ends[id]);
	}
	commit_all();
	assert_done(id, JOB_FAILED);
	ck_assert_ptr_nonnull(strstr(row_of(id)->error, "\"crash_loop\""));
}
END_TEST

START_TEST(restart_finishes_a_cancel)
{
	int64_t id = submit(WORKER_RETRY);
	struct asked a;

	is_stubborn = true;
	commit();
	cancel(&a, id, 1000, -1);
	commit();
	ck_assert_int_eq(state_of(id), JOB_STOPPING);
	crash();
	commit_all();
	assert_done(id, JOB_CANCELLED);
	ck_assert_int_eq(n_entered, 0);
}
END_TEST

/* The daemon dies now, and the next one starts @down_us later. */
static void crash_and_start_later(const char *dir, int64_t down_us)
{
	offload_fini(); /* marks that are being written land */
	alive_fini();
	now_fake_advance_us(down_us);
	alive_init(dir);
	crash();
	commit_all();
}

static void remove_alive(const char *dir)
{
	cleanup_free char *path = xasprintf("%s/alive", dir);

	alive_fini();
	unlink(path);
	rmdir(dir);
}

/* Whenever the next daemon starts: what counts is how long this one was alive (R2.5). */
START_TEST(three_quick_losses_are_a_crash_loop)
{
	static const int64_t downs_us[] = { 0, INT64_C(3600000000) };
	char dir[] = "/tmp/alive.XXXXXX";
	int64_t id;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	alive_init(dir);
	id = submit(WORKER_RETRY);
	commit();
	losses = 2;
	for (int i = 0; i < 8; i++)
		advance_us(1000000);
	crash_and_start_later(dir, downs_us[_i]);
	assert_done(id, JOB_FAILED);
	ck_assert_ptr_nonnull(strstr(row_of(id)->error, "\"crash_loop\""));
	remove_alive(dir);
}
END_TEST

START_TEST(a_slow_loss_is_no_crash_loop)
{
	char dir[] = "/tmp/alive.XXXXXX";
	int64_t id;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	alive_init(dir);
	id = submit(WORKER_RETRY);
	commit();
	losses = 2;
	for (int i = 0; i < 40; i++) {
		advance_us(1000000);
		offload_fini();
		loop_run_until_idle();
	}
	crash_and_start_later(dir, 0);
	ck_assert_int_eq(state_of(id), JOB_RUNNING);
	remove_alive(dir);
}
END_TEST

/* Only what a crash would cut off is worth a mark a second. */
START_TEST(timers_are_no_reason_to_mark_the_time)
{
	char dir[] = "/tmp/alive.XXXXXX";
	cleanup_free char *path = NULL;
	struct stat made, later;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	alive_init(dir);
	path = xasprintf("%s/alive", dir);
	ck_assert_int_eq(stat(path, &made), 0);
	submit("{\"kind\":\"timer\",\"sleep\":5,\"deadline\":60}");
	commit();
	advance_us(1000000);
	offload_fini();
	ck_assert_int_eq(stat(path, &later), 0);
	ck_assert_int_eq(later.st_mtim.tv_sec, made.st_mtim.tv_sec);
	submit(WORKER);
	commit();
	advance_us(1000000);
	offload_fini();
	ck_assert_int_eq(stat(path, &later), 0);
	ck_assert_int_eq(later.st_mtim.tv_sec, now_wall().ms / 1000);
	remove_alive(dir);
}
END_TEST

START_TEST(a_cancel_during_recovery_waits_for_it)
{
	int64_t id = submit(WORKER_RETRY);
	struct asked a;

	commit();
	crash();
	cancel(&a, id, 1000, -1);
	ck_assert(!a.is_answered);
	commit_all();
	ck_assert_int_eq(a.result, 0);
	assert_done(id, JOB_CANCELLED);
	ck_assert_int_eq(n_entered, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("engine");
	TCase *tc = tcase_create("engine");

	suite_add_tcase(s, tc);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, nothing_starts_before_running_is_committed);
	tcase_add_test(tc, an_end_is_told_after_its_commit);
	tcase_add_test(tc, slots_are_free_when_the_end_is_queued);
	tcase_add_test(tc, timer_is_never_early_and_has_no_stack);
	tcase_add_test(tc, a_timer_is_not_late_because_its_start_is_being_stored);
	tcase_add_test(tc, delay_and_at);
	tcase_add_test(tc, refusals);
	tcase_add_test(tc, a_damaged_document_is_never_executed);
	tcase_add_test(tc, cancel_waiting_for_time);
	tcase_add_test(tc, cancel_waiting_for_a_slot);
	tcase_add_test(tc, cancel_while_the_start_is_in_flight);
	tcase_add_test(tc, cancel_running);
	tcase_add_test(tc, cancel_in_flight_beats_a_later_end);
	tcase_add_test(tc, an_end_that_was_seen_first_wins);
	tcase_add_test(tc, cancel_a_timer_that_sleeps);
	tcase_add_test(tc, cancel_before_the_end_of_a_timer_whose_start_is_in_flight);
	tcase_add_test(tc, cancel_after_the_end_of_a_timer_whose_start_is_in_flight);
	tcase_add_test(tc, stop_while_a_timer_s_start_is_in_flight);
	tcase_add_test(tc, cancel_done_unknown_and_foreign);
	tcase_add_test(tc, timeout_ends_an_attempt);
	tcase_add_test(tc, cancel_after_a_timeout_stays_timed_out);
	tcase_add_test(tc, orderly_stop);
	tcase_add_test(tc, a_start_in_flight_at_the_stop_waits_again);
	tcase_add_test(tc, a_stop_leaves_timers_as_they_are);
	tcase_add_test(tc, a_stop_does_not_wait_for_a_full_disk);
	tcase_add_test(tc, drain_waits_for_attempts);
	tcase_add_test(tc, restart_applies_on_lost);
	tcase_add_test(tc, a_timer_that_was_due_before_its_timeout_succeeds_however_late);
	tcase_add_test(tc, three_losses_in_one_life_are_a_crash_loop);
	tcase_add_test(tc, restart_finishes_a_cancel);
	tcase_add_loop_test(tc, three_quick_losses_are_a_crash_loop, 0, 2);
	tcase_add_test(tc, a_slow_loss_is_no_crash_loop);
	tcase_add_test(tc, timers_are_no_reason_to_mark_the_time);
	tcase_add_test(tc, a_cancel_during_recovery_waits_for_it);
	return suite_run(s);
}
