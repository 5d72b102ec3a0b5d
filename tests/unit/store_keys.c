/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/unit/store_fixture.h"

#include <errno.h>

#define DAY_MS INT64_C(86400000)

/* The key of a submit, which makes a resend safe (R2.6). */

static struct store_new_job keyed(uid_t uid, const char *key, const char *spec)
{
	struct store_new_job job = fx_job();

	job.uid = uid;
	job.key = key;
	job.spec = spec;
	job.spec_len = strlen(spec);
	return job;
}

START_TEST(a_key_gives_the_first_job)
{
	struct store_new_job a = keyed(1, "k", "{}"), b = keyed(1, "k", "{}");
	struct store_new_job c = keyed(1, "k", "{\"x\":1}"), d = keyed(2, "k", "{\"x\":1}");
	struct store_new_job e = keyed(1, "k2", "{}");

	ck_assert_int_eq(fx_insert(&a, 1), 0);
	ck_assert(!a.existing);
	ck_assert_int_eq(fx_insert(&b, 1), 0);
	ck_assert(b.existing);
	ck_assert_int_eq(b.id, a.id);
	ck_assert_int_eq(fx_insert(&c, 1), -EEXIST);
	ck_assert_int_eq(fx_insert(&d, 1), 0);
	ck_assert(!d.existing);
	ck_assert_int_eq(fx_insert(&e, 1), 0);
	ck_assert_int_eq(e.id, 3); /* the conflict used up nothing */
	fx_restart();
	ck_assert_int_eq(fx_insert(&b, 1), 0);
	ck_assert(b.existing);
	ck_assert_int_eq(b.id, a.id);
}
END_TEST

/* What is asked for is compared, however it was put. */
START_TEST(a_key_compares_what_is_asked_for)
{
	struct store_new_job bare = keyed(1, "k", "{}"), long_form = keyed(1, "k", "{\"x\":0}");
	struct store_new_job other = keyed(1, "k", "{\"x\":1}"), twice[2];

	long_form.asked = "{}";
	twice[0] = long_form;
	twice[1] = bare;
	twice[0].key = twice[1].key = "k2";
	ck_assert_int_eq(fx_insert(&long_form, 1), 0);
	ck_assert_int_eq(fx_insert(&bare, 1), 0);
	ck_assert_int_eq(bare.id, long_form.id);
	ck_assert_int_eq(fx_insert(&long_form, 1), 0);
	ck_assert(long_form.existing);
	ck_assert_int_eq(fx_insert(&other, 1), -EEXIST);
	ck_assert_int_eq(fx_insert(twice, 2), 0);
	ck_assert(!twice[0].existing && twice[1].existing);
	ck_assert_int_eq(twice[0].id, twice[1].id);
	fx_restart();
	ck_assert_int_eq(fx_insert(&bare, 1), 0);
	ck_assert(bare.existing);
}
END_TEST

/* An earlier version kept the hash of the document as it was given. */
START_TEST(a_key_of_an_earlier_version_is_known)
{
	struct store_new_job early = keyed(1, "k", "{\"x\":0}"), now = early, other = early;

	ck_assert_int_eq(fx_insert(&early, 1), 0);
	now.asked = "{}";
	ck_assert_int_eq(fx_insert(&now, 1), 0);
	ck_assert(now.existing);
	other.spec = "{\"x\":1}";
	ck_assert_int_eq(fx_insert(&other, 1), -EEXIST);
}
END_TEST

START_TEST(a_key_may_come_twice_in_a_request)
{
	struct store_new_job jobs[] = {
		keyed(1, "a", "{}"), keyed(1, "b", "{}"), fx_job(),
		keyed(1, "a", "{}"), keyed(2, "a", "[]"), keyed(1, "c", "{}"),
		keyed(1, "b", "{}"),
	};
	static const int64_t ids[] = { 1, 2, 3, 1, 4, 5, 2 };
	static const bool existing[] = { false, false, false, true, false, false, true };

	ck_assert_int_eq(fx_insert(jobs, 7), 0);
	for (int i = 0; i < 7; i++) {
		ck_assert_int_eq(jobs[i].id, ids[i]);
		ck_assert_int_eq(jobs[i].existing, existing[i]);
	}
	ck_assert_int_eq(fx_insert_one(), 6);
}
END_TEST

START_TEST(a_conflict_inserts_nothing)
{
	struct store_new_job first = keyed(1, "old", "{}");
	struct store_new_job known[] = { fx_job(), keyed(1, "new", "{}"), keyed(1, "old", "[]") };
	struct store_new_job twice[] = { keyed(1, "x", "{}"), fx_job(), keyed(1, "x", "[]") };
	struct store_insert in = { .jobs = known, .n = 3, .at = fx_at(0) };
	struct store_stats st;

	ck_assert_int_eq(fx_insert(&first, 1), 0);
	ck_assert_int_eq(fx_run(&in.op, STORE_INSERT), -EEXIST);
	ck_assert_uint_eq(in.conflict, 2);
	in.jobs = twice;
	ck_assert_int_eq(fx_run(&in.op, STORE_INSERT), -EEXIST);
	ck_assert_uint_eq(in.conflict, 2);
	store_stats(fx.store, &st);
	ck_assert_uint_eq(st.by_state[JOB_WAITING], 1);
	ck_assert_int_eq(fx_insert_one(), 2);
	fx_close();
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM submit_key"), 1);
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM doc"), 2);
}
END_TEST

/* Two requests in one transaction: the second sees the first. */
START_TEST(a_key_is_known_within_a_transaction)
{
	struct store_new_job a = keyed(1, "k", "{}"), b = keyed(1, "k", "{}");
	struct store_new_job c = keyed(1, "k", "[]");
	struct store_insert ia = { .jobs = &a, .n = 1, .at = fx_at(0) }, ib = ia, ic = ia;
	size_t want = fx.n_done + 3;

	ib.jobs = &b;
	ic.jobs = &c;
	fx_submit(&ia.op, STORE_INSERT);
	fx_submit(&ib.op, STORE_INSERT);
	fx_submit(&ic.op, STORE_INSERT);
	while (fx.n_done < want)
		loop_turn(true);
	ck_assert_int_eq(ia.op.result, 0);
	ck_assert_int_eq(ib.op.result, 0);
	ck_assert_int_eq(ic.op.result, -EEXIST);
	ck_assert(!a.existing);
	ck_assert(b.existing);
	ck_assert_int_eq(a.id, b.id);
}
END_TEST

START_TEST(a_key_expires_a_day_after_the_end)
{
	struct store_new_job job = keyed(1, "k", "{}");
	struct store_insert in = { .jobs = &job, .n = 1, .at = fx_at(0) };
	struct store_remove rm = { .id = 1 };

	ck_assert_int_eq(fx_run(&in.op, STORE_INSERT), 0);
	in.at = fx_at(30 * DAY_MS); /* it lives: never */
	ck_assert_int_eq(fx_run(&in.op, STORE_INSERT), 0);
	ck_assert(job.existing);
	ck_assert_int_eq(fx_move(1, 0, JOB_WAITING, JOB_DONE), 0); /* ended at 1000 ms */
	ck_assert_int_eq(fx_run(&rm.op, STORE_REMOVE), 0);
	in.at = fx_at(DAY_MS + 999); /* removed, but still known */
	ck_assert_int_eq(fx_run(&in.op, STORE_INSERT), 0);
	ck_assert(job.existing);
	ck_assert_int_eq(job.id, 1);
	in.at = fx_at(DAY_MS + 1000);
	ck_assert_int_eq(fx_run(&in.op, STORE_INSERT), 0);
	ck_assert(!job.existing);
	ck_assert_int_eq(job.id, 2);
	/* And the new owner of the key is the one to be found. */
	ck_assert_int_eq(fx_run(&in.op, STORE_INSERT), 0);
	ck_assert(job.existing);
	ck_assert_int_eq(job.id, 2);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("store_keys");
	TCase *t = tcase_create("store_keys");

	tcase_add_checked_fixture(t, fx_setup, fx_teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_key_gives_the_first_job);
	tcase_add_test(t, a_key_compares_what_is_asked_for);
	tcase_add_test(t, a_key_of_an_earlier_version_is_known);
	tcase_add_test(t, a_key_may_come_twice_in_a_request);
	tcase_add_test(t, a_conflict_inserts_nothing);
	tcase_add_test(t, a_key_is_known_within_a_transaction);
	tcase_add_test(t, a_key_expires_a_day_after_the_end);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return fx_main(suite());
}
