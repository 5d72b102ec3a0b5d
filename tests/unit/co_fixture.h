/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_CO_FIXTURE_H
#define TESTS_UNIT_CO_FIXTURE_H

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "daemon/base/now.h"
#include "daemon/co/await.h"
#include "daemon/co/coro.h"
#include "daemon/co/loop.h"
#include "tests/unit/suite.h"

/* For tests of the coroutine runtime: a loop on a virtual clock, and a trace. */

/* What the coroutines of a test did, one letter each. */
static char trace[256];

static inline void note(const char *what)
{
	ck_assert_uint_lt(strlen(trace) + strlen(what), sizeof(trace));
	memcpy(trace + strlen(trace), what, strlen(what) + 1);
}

/* The end of a wait as a letter. */
static inline void note_end(int r)
{
	note(r == 0 ? "0" : r == -ECANCELED ? "c" : r == -ETIMEDOUT ? "t" : "!");
}

static inline void co_setup(void)
{
	trace[0] = '\0';
	now_fake_start((struct mono){ 1 }, (struct boot){ 1 }, (struct wall){ 1 });
	ck_assert_int_eq(loop_init(), 0);
}

static inline void co_teardown(void)
{
	loop_fini();
	now_fake_stop();
}

static inline void advance(int64_t us)
{
	now_fake_advance_us(us);
	loop_run_until_idle();
}

static inline void co_add_case(Suite *s, TCase *tc, void (*setup)(void), void (*teardown)(void))
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 120);
	suite_add_tcase(s, tc);
}

#endif
