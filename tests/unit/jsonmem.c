/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "proto/jsonmem.h"

#include <check.h>
#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/xalloc.h"
#include "tests/unit/suite.h"

#define N_PIECES 20000

static json_malloc_t take;
static json_free_t let_go;

static void set_up(void)
{
	jsonmem_init();
	json_get_alloc_funcs(&take, &let_go);
}

static bool is_all(const unsigned char *piece, size_t size, size_t value)
{
	for (size_t at = 0; at < size; at++)
		if (piece[at] != value)
			return false;
	return true;
}

/* Every piece is its own, whatever was let go of before, and aligned for numbers. */
START_TEST(pieces_do_not_overlap)
{
	unsigned char **pieces = xcalloc(N_PIECES, sizeof(*pieces));
	size_t *sizes = xcalloc(N_PIECES, sizeof(*sizes));
	uint64_t state = 3;

	for (int round = 0; round < 4; round++) {
		for (size_t i = 0; i < N_PIECES; i++) {
			state = state * UINT64_C(6364136223846793005) + 1;
			if (pieces[i] && state >> 63)
				continue;
			let_go(pieces[i]);
			sizes[i] = (size_t)(state >> 33) % (i % 50 ? 200 : 5000);
			pieces[i] = take(sizes[i]);
			ck_assert_ptr_nonnull(pieces[i]);
			ck_assert_uint_eq((uintptr_t)pieces[i] % sizeof(json_int_t), 0);
			memset(pieces[i], (int)(i % 251), sizes[i]);
		}
		for (size_t i = 0; i < N_PIECES; i++)
			ck_assert(is_all(pieces[i], sizes[i], i % 251));
	}
	for (size_t i = 0; i < N_PIECES; i++)
		let_go(pieces[i]);
	let_go(NULL);
	free(pieces);
	free(sizes);
}
END_TEST

START_TEST(the_last_one_comes_first)
{
	void *a, *b;

	/* Where an analyser watches, the memory is the C library's. */
	if (take == malloc)
		return;
	a = take(41);
	b = take(42);
	let_go(a);
	let_go(b);
	ck_assert_ptr_eq(take(43), b);
	ck_assert_ptr_eq(take(44), a);
	let_go(a);
	let_go(b);
}
END_TEST

START_TEST(too_much_is_refused)
{
	if (take == malloc)
		return;
	ck_assert_ptr_null(take(SIZE_MAX));
	ck_assert_ptr_null(take(SIZE_MAX - 7));
	ck_assert_ptr_null(take(SIZE_MAX / 2));
}
END_TEST

static void *decref(void *value)
{
	json_decref(value);
	return NULL;
}

/* Made by one thread, let go of by another, as a stored value may be. */
START_TEST(between_threads)
{
	for (int i = 0; i < 20; i++) {
		json_t *list = json_array();
		pthread_t thread;

		for (int k = 0; k < 1000; k++)
			json_array_append_new(list, json_pack("{s:i, s:s}", "a", k, "b", "text"));
		ck_assert_int_eq(pthread_create(&thread, NULL, decref, list), 0);
		pthread_join(thread, NULL);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("jsonmem");
	TCase *tc = tcase_create("jsonmem");

	tcase_add_checked_fixture(tc, set_up, NULL);
	tcase_add_test(tc, pieces_do_not_overlap);
	tcase_add_test(tc, the_last_one_comes_first);
	tcase_add_test(tc, too_much_is_refused);
	tcase_add_test(tc, between_threads);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
