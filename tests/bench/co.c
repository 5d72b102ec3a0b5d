/* SPDX-License-Identifier: MIT */
#include "config.h"

/*
 * What coroutines cost: one JSON line per result, the median of some rounds
 * and the least, which is what to look at on a machine that is not idle.
 * Runs the run step itself, without the loop, where only switching is meant.
 */

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/now.h"
#include "daemon/co/await.h"
#include "daemon/co/coro.h"
#include "daemon/co/loop.h"
#include "proto/xalloc.h"

#define N_ROUNDS 51
#define N_MANY 100000
#define N_SWITCHES 200000 /* short rounds, so that some find the machine idle */
#define N_MANY_PASSES 2
#define N_SPAWNS 160000
#define UNBOUNDED_US (INT64_C(3600) * 1000000)

static struct coro **suspended;
static bool is_over;

static void print_result(const char *name, double value, const char *unit)
{
	printf("{\"name\":\"%s\",\"value\":%.1f,\"unit\":\"%s\"}\n", name, value, unit);
	fflush(stdout);
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void measure(const char *name, double (*round)(void))
{
	double values[N_ROUNDS];

	for (size_t i = 0; i < N_ROUNDS; i++)
		values[i] = round();
	qsort(values, N_ROUNDS, sizeof(values[0]), compare_doubles);
	printf("{\"name\":\"%s\",\"value\":%.1f,\"min\":%.1f,\"unit\":\"ns\"}\n", name,
	       values[N_ROUNDS / 2], values[0]);
	fflush(stdout);
}

static void run_all(void)
{
	while (coro_has_ready())
		coro_run_ready(UINT32_MAX, UNBOUNDED_US);
}

static double ns_each(struct mono began, double n)
{
	return (double)(now_mono().ns - began.ns) / n;
}

/* ---- switching ---- */

static void wait_again_and_again(void *arg)
{
	(void)arg;
	while (!is_over)
		if (co_suspend() < 0)
			abort();
}

static struct coro *other_of[2];
static size_t n_left;

static void wake_the_other(void *arg)
{
	struct coro **other = arg;

	if (co_suspend() < 0)
		abort();
	while (n_left > 0) {
		n_left--;
		coro_wake(*other, 0);
		if (co_suspend() < 0)
			abort();
	}
	if (coro_is_waiting(*other))
		coro_wake(*other, 0);
}

static void spawn_suspended(size_t n)
{
	is_over = false;
	suspended = xcalloc(n, sizeof(struct coro *));
	for (size_t i = 0; i < n; i++)
		suspended[i] = coro_spawn(wait_again_and_again, NULL, CORO_STACK_SMALL, NULL);
	run_all();
}

static void wake_all(size_t n)
{
	for (size_t i = 0; i < n; i++)
		coro_wake(suspended[i], 0);
	run_all();
}

static void end_suspended(size_t n)
{
	is_over = true;
	wake_all(n);
	free(suspended);
}

/* Into the coroutine and out of it, with a wake and a run step of its own. */
static double switch_pair_with_step(void)
{
	struct mono began;
	double ns;

	spawn_suspended(1);
	began = now_mono();
	for (size_t i = 0; i < N_SWITCHES; i++) {
		coro_wake(suspended[0], 0);
		coro_run_ready(1, 0);
	}
	ns = ns_each(began, N_SWITCHES);
	end_suspended(1);
	return ns;
}

/* The same without the run step around it: two that wake each other. */
static double switch_pair(void)
{
	struct coro *two[2];
	struct mono began;

	n_left = N_SWITCHES;
	for (size_t i = 0; i < 2; i++)
		two[i] = coro_spawn(wake_the_other, &other_of[i], CORO_STACK_SMALL, NULL);
	other_of[0] = two[1];
	other_of[1] = two[0];
	run_all();
	began = now_mono();
	coro_wake(two[0], 0);
	run_all();
	return ns_each(began, N_SWITCHES);
}

static void shuffle(size_t n)
{
	uint64_t x = 88172645463325252U;

	for (size_t i = n - 1; i > 0; i--) {
		size_t j;
		struct coro *other;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		j = x % (i + 1);
		other = suspended[j];
		suspended[j] = suspended[i];
		suspended[i] = other;
	}
}

static double switch_pair_of_many(void)
{
	struct mono began;
	double ns;

	spawn_suspended(N_MANY);
	shuffle(N_MANY);
	wake_all(N_MANY);
	began = now_mono();
	for (size_t i = 0; i < N_MANY_PASSES; i++)
		wake_all(N_MANY);
	ns = ns_each(began, (double)N_MANY * N_MANY_PASSES);
	end_suspended(N_MANY);
	return ns;
}

/* ---- birth and death ---- */

static void do_nothing(void *arg)
{
	(void)arg;
}

static double spawn_and_finish(void)
{
	struct mono began = now_mono();

	for (size_t i = 0; i < N_SPAWNS / 16; i++) {
		for (size_t j = 0; j < 16; j++)
			coro_spawn(do_nothing, NULL, CORO_STACK_SMALL, NULL);
		run_all();
	}
	return ns_each(began, N_SPAWNS);
}

/* ---- memory ---- */

static double status_kib(const char *key)
{
	char line[256];
	double kib = 0;
	FILE *f = fopen("/proc/self/status", "re");

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (strncmp(line, key, strlen(key)) == 0)
			kib = strtod(line + strlen(key), NULL);
	fclose(f);
	return kib;
}

/* Resident memory and page tables. */
static double memory_bytes(void)
{
	return (status_kib("VmRSS:") + status_kib("VmPTE:")) * 1024;
}

static void measure_asleep(void)
{
	struct coro **cos = xcalloc(N_MANY, sizeof(struct coro *));
	double before;

	memset(cos, 1, N_MANY * sizeof(struct coro *));
	before = memory_bytes();
	for (size_t i = 0; i < N_MANY; i++)
		cos[i] = coro_spawn_at(mono_in_us(UNBOUNDED_US), do_nothing, NULL, CORO_STACK_SMALL,
				       NULL);
	print_result("co.bytes_asleep_never_ran", (memory_bytes() - before) / N_MANY, "bytes");
	for (size_t i = 0; i < N_MANY; i++)
		coro_cancel(cos[i]);
	free(cos);
	run_all();
}

static void measure_suspended(void)
{
	double before = memory_bytes();

	spawn_suspended(N_MANY);
	print_result("co.bytes_suspended", (memory_bytes() - before) / N_MANY, "bytes");
	end_suspended(N_MANY);
}

static void begin(void)
{
	if (loop_init() < 0)
		abort();
}

int main(void)
{
	begin();
	measure_asleep();
	loop_fini();
	begin();
	measure_suspended();
	loop_fini();
	begin();
	measure("co.switch_pair", switch_pair);
	measure("co.switch_pair_with_step", switch_pair_with_step);
	measure("co.switch_pair_100k_shuffled", switch_pair_of_many);
	measure("co.spawn_finish", spawn_and_finish);
	loop_fini();
	return 0;
}
