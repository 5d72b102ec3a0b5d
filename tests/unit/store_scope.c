/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>

#include "tests/unit/store_fixture.h"

/*
 * The results that a job may refer to.  In front of a sequence that needs
 * "needed" there are: part 0 "a", part 1 without a name, part 2 a gather with
 * part 0 "sibling" and part 1 a sequence of "b" and the job that asks.
 */

enum { NEEDED, SEQ, A, NAMELESS, GATHER, SIBLING, INNER, B, ASKS, LATER, N_JOBS };

static int64_t ids[N_JOBS];

static void make_tree(void)
{
	static const struct {
		enum job_kind kind;
		size_t parent;
		unsigned part;
		const char *name;
	} tree[N_JOBS] = {
		[NEEDED] = { JOB_TIMER, STORE_NO_PLACE, 0, "needed" },
		[SEQ] = { JOB_SEQUENCE, STORE_NO_PLACE, 0, "seq" },
		[A] = { JOB_TIMER, SEQ, 0, "a" },
		[NAMELESS] = { JOB_TIMER, SEQ, 1, NULL },
		[GATHER] = { JOB_GATHER, SEQ, 2, "gather" },
		[SIBLING] = { JOB_TIMER, GATHER, 0, "sibling" },
		[INNER] = { JOB_SEQUENCE, GATHER, 1, "inner" },
		[B] = { JOB_TIMER, INNER, 0, "b" },
		[ASKS] = { JOB_TIMER, INNER, 1, "asks" },
		[LATER] = { JOB_TIMER, INNER, 2, "later" },
	};
	struct store_need need = { .place = NEEDED, .on = NEED_DONE };
	struct store_new_job jobs[N_JOBS];

	for (size_t i = 0; i < N_JOBS; i++) {
		jobs[i] = fx_job();
		jobs[i].kind = tree[i].kind;
		jobs[i].name = tree[i].name;
		jobs[i].parent_place_plus_1 = tree[i].parent + 1;
		jobs[i].run_of = tree[i].parent != STORE_NO_PLACE;
		jobs[i].part = tree[i].part;
	}
	jobs[SEQ].needs = &need;
	jobs[SEQ].n_needs = 1;
	ck_assert_int_eq(fx_insert(jobs, N_JOBS), 0);
	for (size_t i = 0; i < N_JOBS; i++)
		ids[i] = jobs[i].id;
}

static void end(int64_t id, enum job_outcome outcome, const char *result)
{
	struct store_change c = fx_change(id, 0, JOB_WAITING, JOB_DONE);

	c.outcome = outcome;
	c.result_json = result;
	ck_assert_int_eq(fx_run(&c.op, STORE_CHANGE), 0);
}

static void setup_tree(void)
{
	fx_setup();
	make_tree();
	end(ids[NEEDED], JOB_FAILED, "{\"exit\":1}");
	end(ids[A], JOB_SUCCEEDED, "[1]");
	end(ids[NAMELESS], JOB_SUCCEEDED, "2");
	end(ids[B], JOB_SUCCEEDED, NULL);
}

/* "id:name:need:outcome:result", nearest first. */
static void expect(int64_t id, const char *want)
{
	struct store_scope sc = { .id = id };
	char text[1024] = "";
	size_t len = 0;

	ck_assert_int_eq(fx_run(&sc.op, STORE_SCOPE), 0);
	for (size_t i = 0; i < sc.n && len < sizeof(text); i++) {
		const struct store_scope_entry *e = &sc.entries[i];
		const char *word = job_outcome_name(e->outcome);

		len += (size_t)snprintf(text + len, sizeof(text) - len, "%lld:%s:%d:%s:%s ",
					(long long)e->id, e->name ? e->name : "-", e->is_need,
					word ? word : "-", e->result_json ? e->result_json : "-");
	}
	ck_assert_str_eq(text, want);
	ck_assert_str_eq(sc.spec, FX_SPEC);
	ck_assert_uint_eq(sc.spec_len, strlen(FX_SPEC));
	ck_assert(!sc.damaged);
	store_scope_fini(&sc);
}

START_TEST(earlier_parts_and_needs_all_the_way_up)
{
	expect(ids[ASKS], "8:b:0:succeeded:- 3:a:0:succeeded:[1] 1:needed:1:failed:{\"exit\":1} ");
	expect(ids[SIBLING], "3:a:0:succeeded:[1] 1:needed:1:failed:{\"exit\":1} ");
	expect(ids[A], "1:needed:1:failed:{\"exit\":1} ");
	expect(ids[SEQ], "1:needed:1:failed:{\"exit\":1} ");
	expect(ids[NEEDED], "");
	/* What has not ended is named all the same: a reference to it can be told from a typo. */
	expect(ids[LATER], "9:asks:0:-:- 8:b:0:succeeded:- 3:a:0:succeeded:[1] "
			   "1:needed:1:failed:{\"exit\":1} ");
}
END_TEST

START_TEST(own_needs_come_first_in_their_order)
{
	struct store_need needs[2] = {
		{ .job = ids[B], .place = STORE_NO_PLACE, .on = NEED_SUCCESS },
		{ .job = ids[A], .place = STORE_NO_PLACE, .on = NEED_SUCCESS },
	};
	struct store_new_job job = fx_job();

	job.needs = needs;
	job.n_needs = 2;
	ck_assert_int_eq(fx_insert(&job, 1), 0);
	expect(job.id, "8:b:1:succeeded:- 3:a:1:succeeded:[1] ");
}
END_TEST

/* A composition's further attempt has earlier parts of its own. */
START_TEST(other_attempts_parts_are_not_seen)
{
	struct store_new_job jobs[2] = { fx_job(), fx_job() };

	for (unsigned i = 0; i < 2; i++) {
		jobs[i].name = "again";
		jobs[i].parent = ids[INNER];
		jobs[i].run_of = 2;
		jobs[i].part = i;
	}
	ck_assert_int_eq(fx_insert(jobs, 2), 0);
	expect(jobs[1].id, "11:again:0:-:- 3:a:0:succeeded:[1] 1:needed:1:failed:{\"exit\":1} ");
	expect(ids[ASKS], "8:b:0:succeeded:- 3:a:0:succeeded:[1] 1:needed:1:failed:{\"exit\":1} ");
}
END_TEST

START_TEST(a_removed_need_is_named_by_its_id)
{
	struct store_need need = { .job = fx_done_job(), .place = STORE_NO_PLACE };
	struct store_remove rm = { .id = need.job };
	struct store_new_job job = fx_job();

	job.needs = &need;
	job.n_needs = 1;
	ck_assert_int_eq(fx_insert(&job, 1), 0);
	end(job.id, JOB_SUCCEEDED, NULL);
	ck_assert_int_eq(fx_run(&rm.op, STORE_REMOVE), 0);
	expect(job.id, "11:-:1:-:- ");
}
END_TEST

START_TEST(a_job_that_is_not_there)
{
	struct store_scope sc = { .id = 77 };

	ck_assert_int_eq(fx_run(&sc.op, STORE_SCOPE), -ENOENT);
	ck_assert_uint_eq(sc.n, 0);
	store_scope_fini(&sc);
}
END_TEST

START_TEST(a_damaged_document_is_told)
{
	struct store_scope sc = { .id = ids[ASKS] };

	fx_close();
	fx_raw("UPDATE doc SET spec = '{}' WHERE job = 9");
	fx_open();
	ck_assert_int_eq(fx_run(&sc.op, STORE_SCOPE), 0);
	ck_assert(sc.damaged);
	store_scope_fini(&sc);
}
END_TEST

START_TEST(too_much_is_refused)
{
	struct store_scope sc = { .id = ids[LATER] };
	char *text = xmalloc(STORE_RESULT_MAX_BYTES + 1);

	memset(text, '1', STORE_RESULT_MAX_BYTES);
	text[STORE_RESULT_MAX_BYTES] = '\0';
	end(ids[ASKS], JOB_SUCCEEDED, text);
	free(text);
	ck_assert_int_eq(fx_run(&sc.op, STORE_SCOPE), -EFBIG);
	ck_assert_uint_eq(sc.n, 0);
	ck_assert_ptr_null(sc.spec);
	expect(ids[ASKS], "8:b:0:succeeded:- 3:a:0:succeeded:[1] 1:needed:1:failed:{\"exit\":1} ");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("store_scope");
	TCase *t = tcase_create("scope");

	tcase_add_checked_fixture(t, setup_tree, fx_teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, earlier_parts_and_needs_all_the_way_up);
	tcase_add_test(t, own_needs_come_first_in_their_order);
	tcase_add_test(t, other_attempts_parts_are_not_seen);
	tcase_add_test(t, a_removed_need_is_named_by_its_id);
	tcase_add_test(t, a_job_that_is_not_there);
	tcase_add_test(t, a_damaged_document_is_told);
	tcase_add_test(t, too_much_is_refused);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return fx_main(suite());
}
