/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/unit/engine_fixture.h"

#include <semaphore.h>
#include <unistd.h>

#include "daemon/job/hook.h"

/* The hook's place in what happens, in its file. */

static char dir[] = "/tmp/hook.XXXXXX";
static char program[] = "/bin/true";
static struct conf with_hook;

static void setup_hook(void)
{
	setup();
	memcpy(dir + sizeof(dir) - 7, "XXXXXX", 6);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	with_hook = test_conf;
	with_hook.state_dir = dir;
	with_hook.hook_program = program;
	with_hook.hook_outcomes = 1 << JOB_FAILED;
	events_end = 0;
	conf = &with_hook;
	hook_start();
	commit_all();
}

static void teardown_hook(void)
{
	teardown();
	conf = &test_conf;
	rmdir(dir);
}

static bool has_file(void)
{
	cleanup_free char *path = xasprintf("%s/hook.seq", dir);

	return access(path, F_OK) == 0;
}

static void switch_off(void)
{
	with_hook.hook_program = NULL;
	hook_start();
}

START_TEST(a_hook_that_is_switched_off_leaves_no_place)
{
	ck_assert(has_file());
	switch_off();
	ck_assert(!has_file());
}
END_TEST

/* All helper threads are busy for as long as the test wants. */
#define N_HELPERS 4
static struct offload busy[N_HELPERS];
static sem_t may_go;

static void wait_long(struct offload *o)
{
	(void)o;
	sem_wait(&may_go);
}

static void on_waited(struct offload *o)
{
	(void)o;
}

/* Else what ends until it is switched on again would have its hooks then. */
START_TEST(a_place_that_is_being_written_goes_as_well)
{
	sem_init(&may_go, 0, 0);
	for (int i = 0; i < N_HELPERS; i++) {
		busy[i] = (struct offload){ .work = wait_long, .done = on_waited };
		offload_submit(&busy[i]);
	}
	events_end = 5;
	hook_ended(JOB_FAILED);
	commit_all(); /* the place moves on, and is to be written */
	switch_off();
	ck_assert(!has_file());
	for (int i = 0; i < N_HELPERS; i++)
		sem_post(&may_go);
	offload_fini();
	loop_run_until_idle();
	ck_assert(!has_file());
	sem_destroy(&may_go);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("hook");
	TCase *tc = tcase_create("hook");

	tcase_add_checked_fixture(tc, setup_hook, teardown_hook);
	tcase_add_test(tc, a_hook_that_is_switched_off_leaves_no_place);
	tcase_add_test(tc, a_place_that_is_being_written_goes_as_well);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
