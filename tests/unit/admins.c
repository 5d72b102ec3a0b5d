/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/rpc/admins.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/conf.h"
#include "tests/unit/co_fixture.h"

/* Who the administrators are: a group that is looked up, believed for a while, and asked again. */

#define REFRESH_US INT64_C(60000000)

/* ---- the C library's part; touched while no look-up is under way ---- */

static int look_up_error;
static gid_t look_up_gid; /* 0 = there is no such group */
static char looked_up[64];
static int n_look_ups;

/* Stands in front of the C library's. */
int getgrnam_r(const char *name, struct group *grp, char *buf, size_t size, struct group **ret)
{
	(void)buf;
	(void)size;
	n_look_ups++;
	snprintf(looked_up, sizeof(looked_up), "%s", name);
	grp->gr_gid = look_up_gid;
	*ret = !look_up_error && look_up_gid ? grp : NULL;
	return look_up_error;
}

/* ---- ours ---- */

static struct conf settings;
static int n_answers;

static void on_answer(void *arg)
{
	(void)arg;
	n_answers++;
}

static void setup(void)
{
	static char group[] = "wheel";

	co_setup();
	settings = (struct conf){ .is_system = true,
				  .admin_group = group,
				  .admin_refresh_us = REFRESH_US };
	conf = &settings;
	look_up_error = 0;
	look_up_gid = 10;
	n_look_ups = n_answers = 0;
}

static void teardown(void)
{
	admins_fini();
	offload_fini();
	conf = NULL;
	co_teardown();
}

/* What is being looked up is found, and who waits for it is told. */
static void settle(void)
{
	offload_fini();
	loop_run_until_idle();
}

/* Somebody connects: is group @gid the administrators', by what is known at that moment? */
static bool is_admin(gid_t gid)
{
	int before = n_answers;

	admins_look_up(on_answer, NULL);
	for (int i = 0; i < 2 && n_answers == before; i++)
		settle();
	ck_assert_int_eq(n_answers, before + 1);
	return admins_has_peer(-1, gid);
}

START_TEST(one_look_up_serves_all_who_ask)
{
	for (int i = 0; i < 5; i++)
		admins_look_up(on_answer, NULL);
	ck_assert_int_eq(n_answers, 0);
	ck_assert(!admins_has_peer(-1, 10));
	settle();
	ck_assert_int_eq(n_answers, 5);
	ck_assert_int_eq(n_look_ups, 1);
	ck_assert_str_eq(looked_up, "wheel");
	ck_assert(admins_has_peer(-1, 10));
	ck_assert(!admins_has_peer(-1, 11));
}
END_TEST

/* [access] admin_refresh: not asked before, and nobody waits for it afterwards. */
START_TEST(an_answer_is_good_for_so_long)
{
	ck_assert(is_admin(10));
	look_up_gid = 11;
	advance(REFRESH_US - 1);
	ck_assert(is_admin(10));
	settle();
	ck_assert_int_eq(n_look_ups, 1);
	advance(1);
	ck_assert(is_admin(10));
	settle();
	ck_assert_int_eq(n_look_ups, 2);
	ck_assert(is_admin(11) && !is_admin(10));
	/* From then on anew. */
	advance(REFRESH_US - 1);
	ck_assert(is_admin(11));
	settle();
	ck_assert_int_eq(n_look_ups, 2);
}
END_TEST

START_TEST(the_setting_says_how_long)
{
	settings.admin_refresh_us = 2 * REFRESH_US;
	ck_assert(is_admin(10));
	advance(2 * REFRESH_US - 1);
	ck_assert(is_admin(10));
	settle();
	ck_assert_int_eq(n_look_ups, 1);
	advance(1);
	ck_assert(is_admin(10));
	settle();
	ck_assert_int_eq(n_look_ups, 2);
}
END_TEST

START_TEST(a_group_comes_and_goes)
{
	look_up_gid = 0;
	ck_assert(!is_admin(10) && !is_admin(0));
	ck_assert_int_eq(n_look_ups, 1);
	look_up_gid = 10;
	advance(REFRESH_US);
	ck_assert(!is_admin(10));
	settle();
	ck_assert(is_admin(10));
	look_up_gid = 0;
	advance(REFRESH_US);
	is_admin(10);
	settle();
	ck_assert(!is_admin(10));
}
END_TEST

/* Who cannot be asked leaves in force what was known; "no such group" is an answer. */
START_TEST(an_error_changes_nothing)
{
	ck_assert(is_admin(10));
	look_up_error = EIO;
	advance(REFRESH_US);
	is_admin(10);
	settle();
	ck_assert_int_eq(n_look_ups, 2);
	ck_assert(is_admin(10));
	look_up_error = ENOENT;
	advance(REFRESH_US);
	is_admin(10);
	settle();
	ck_assert(!is_admin(10));
}
END_TEST

START_TEST(nobody_when_it_cannot_be_asked_at_first)
{
	look_up_error = EIO;
	ck_assert(!is_admin(10));
	look_up_error = 0;
	advance(REFRESH_US);
	is_admin(10);
	settle();
	ck_assert(is_admin(10));
}
END_TEST

/* A reload may have named another one, also while the old one is being looked up. */
START_TEST(another_name_is_looked_up_at_once)
{
	static char other[] = "sudo";

	ck_assert(is_admin(10));
	settings.admin_group = other;
	look_up_gid = 27;
	admins_forget();
	ck_assert(!admins_has_peer(-1, 10));
	ck_assert(is_admin(27));
	ck_assert_str_eq(looked_up, "sudo");
	advance(REFRESH_US);
	is_admin(27);
	admins_forget();
	ck_assert(is_admin(27));
	settle();
	ck_assert_int_eq(n_look_ups, 4);
}
END_TEST

START_TEST(without_a_group_there_are_none)
{
	static char none[] = "";

	settings.admin_group = none;
	ck_assert(!is_admin(10));
	settings.admin_group = NULL;
	ck_assert(!is_admin(10));
	settings.is_system = false;
	ck_assert(!is_admin(10));
	ck_assert_int_eq(n_look_ups, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("admins");
	TCase *tc = tcase_create("all");

	tcase_add_test(tc, one_look_up_serves_all_who_ask);
	tcase_add_test(tc, an_answer_is_good_for_so_long);
	tcase_add_test(tc, the_setting_says_how_long);
	tcase_add_test(tc, a_group_comes_and_goes);
	tcase_add_test(tc, an_error_changes_nothing);
	tcase_add_test(tc, nobody_when_it_cannot_be_asked_at_first);
	tcase_add_test(tc, another_name_is_looked_up_at_once);
	tcase_add_test(tc, without_a_group_there_are_none);
	co_add_case(s, tc, setup, teardown);
	return suite_run(s);
}
