/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/base/now.h"

#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "tests/unit/suite.h"

START_TEST(clocks_move_forward)
{
	struct mono m = now_mono();
	struct boot b = now_boot();

	ck_assert_int_ge(now_mono().ns, m.ns);
	ck_assert_int_ge(now_boot().ns, b.ns);
	ck_assert_int_ge(now_boot().ns, m.ns); /* it counts suspend as well */
	ck_assert_int_gt(now_wall().ms, INT64_C(1700000000000));
}
END_TEST

START_TEST(fake_moves_only_when_told)
{
	now_fake_start((struct mono){ 1000 }, (struct boot){ 5000 }, (struct wall){ 70 });
	ck_assert_int_eq(now_mono().ns, 1000);
	ck_assert_int_eq(now_boot().ns, 5000);
	ck_assert_int_eq(now_wall().ms, 70);
	now_fake_advance_us(1500);
	ck_assert_int_eq(now_mono().ns, 1501000);
	ck_assert_int_eq(now_boot().ns, 1505000);
	ck_assert_int_eq(now_wall().ms, 71);
	now_fake_advance_us(500); /* half milliseconds add up */
	ck_assert_int_eq(now_wall().ms, 72);
	now_fake_step_wall_ms(-50);
	ck_assert_int_eq(now_wall().ms, 22);
	ck_assert_int_eq(now_mono().ns, 2001000);
	now_fake_stop();
	ck_assert_int_gt(now_wall().ms, INT64_C(1700000000000));
}
END_TEST

START_TEST(adding_ends_at_never)
{
	struct mono t = { INT64_MAX - 5000 };

	ck_assert(mono_is_never(mono_add_us(t, 6)));
	ck_assert_int_eq(mono_add_us(t, 4).ns, INT64_MAX - 1000);
	ck_assert(mono_is_never(mono_add_us(MONO_NEVER, -5)));
	ck_assert(mono_is_never(mono_in_us(INT64_MAX)));
	ck_assert_int_eq(mono_add_us((struct mono){ 9000 }, -2).ns, 7000);
}
END_TEST

START_TEST(boot_id_is_one_uuid)
{
	const char *id = now_boot_id();

	ck_assert(strlen(id) == 36 || strlen(id) == 0);
	ck_assert_ptr_eq(id, now_boot_id());
}
END_TEST

START_TEST(instants_are_never_early)
{
	const struct instant here = { .wall = { 1000 }, .boot = { 5000 } },
			     elsewhere = { { 1000 }, { 0 } };
	struct instant later = instant_add_us(here, 1500001);

	ck_assert_int_eq(later.wall.ms, 2501); /* the part of a millisecond is a whole one */
	ck_assert_int_eq(later.boot.ns, 1500006000);
	ck_assert_int_eq(instant_elapsed_us(here, later), 1500001);
	/* Of another boot: it is the wall clock that tells. */
	later = instant_add_us(elsewhere, 2000);
	ck_assert_int_eq(later.wall.ms, 1002);
	ck_assert_int_eq(later.boot.ns, 0);
	ck_assert_int_eq(instant_elapsed_us(here, later), 2000);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("now");
	TCase *tc = tcase_create("now");

	tcase_add_test(tc, clocks_move_forward);
	tcase_add_test(tc, fake_moves_only_when_told);
	tcase_add_test(tc, adding_ends_at_never);
	tcase_add_test(tc, boot_id_is_one_uuid);
	tcase_add_test(tc, instants_are_never_early);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
