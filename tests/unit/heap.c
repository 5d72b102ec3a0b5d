/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/base/heap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <check.h>

#include "daemon/base/list.h"
#include "tests/unit/suite.h"

#define N_ITEMS 500
#define N_STEPS 200000

struct item {
	struct heap_slot slot;
	int64_t key, tie;
};

static struct item items[N_ITEMS];
static struct heap heap;
static uint64_t random_state;

static void setup(void)
{
	memset(items, 0, sizeof(items));
	memset(&heap, 0, sizeof(heap));
}

static void teardown(void)
{
	heap_fini(&heap);
}

static unsigned random_below(unsigned n)
{
	random_state = random_state * 6364136223846793005U + 1442695040888963407U;
	return (unsigned)(random_state >> 33) % n;
}

static struct item *first_item(void)
{
	const struct heap_entry *e = heap_first(&heap);

	return e ? container_of(e->slot, struct item, slot) : NULL;
}

static bool is_before(const struct item *a, const struct item *b)
{
	return a->key != b->key ? a->key < b->key : a->tie < b->tie;
}

/* The model: look at all items. */
static struct item *model_first(void)
{
	struct item *least = NULL;

	for (size_t i = 0; i < N_ITEMS; i++)
		if (heap_has(&items[i].slot) && (!least || is_before(&items[i], least)))
			least = &items[i];
	return least;
}

static size_t model_count(void)
{
	size_t n = 0;

	for (size_t i = 0; i < N_ITEMS; i++)
		n += heap_has(&items[i].slot);
	return n;
}

static void random_step(int64_t tie)
{
	struct item *it = &items[random_below(N_ITEMS)];
	unsigned op = random_below(8);

	if (op < 3) {
		heap_remove(&heap, &it->slot);
		ck_assert(!heap_has(&it->slot));
	} else if (op < 4 && heap.n > 0) {
		heap_remove(&heap, &first_item()->slot);
	} else {
		it->key = (int64_t)random_below(100) - 50; /* few values: ties must decide */
		it->tie = tie;
		heap_update(&heap, &it->slot, it->key, it->tie);
		ck_assert(heap_has(&it->slot));
	}
}

START_TEST(agrees_with_a_model)
{
	const char *given = getenv("AWAITD_TEST_SEED");
	unsigned long seed = given ? strtoul(given, NULL, 10) : (unsigned long)time(NULL);

	printf("heap: AWAITD_TEST_SEED=%lu\n", seed);
	fflush(stdout);
	random_state = seed;
	for (int i = 0; i < N_STEPS; i++) {
		random_step(i);
		if (i % 16 == 0) {
			ck_assert_ptr_eq(first_item(), model_first());
			ck_assert_uint_eq(heap.n, model_count());
		}
	}
	while (heap.n > 0) {
		ck_assert_ptr_eq(first_item(), model_first());
		heap_remove(&heap, &first_item()->slot);
	}
}
END_TEST

START_TEST(equal_keys_come_in_order_of_tie)
{
	for (int i = 0; i < N_ITEMS; i++)
		heap_insert(&heap, &items[i].slot, 7, (i * 37) % N_ITEMS);
	for (int i = 0; i < N_ITEMS; i++) {
		ck_assert_int_eq(heap_first(&heap)->tie, i);
		heap_remove(&heap, heap_first(&heap)->slot);
	}
	ck_assert_ptr_null(heap_first(&heap));
}
END_TEST

START_TEST(extreme_keys_are_ordered)
{
	heap_insert(&heap, &items[0].slot, INT64_MAX, 0);
	heap_insert(&heap, &items[1].slot, 0, 0);
	heap_insert(&heap, &items[2].slot, INT64_MIN, 0);
	ck_assert_ptr_eq(first_item(), &items[2]);
	heap_update(&heap, &items[2].slot, 1, 0);
	ck_assert_ptr_eq(first_item(), &items[1]);
}
END_TEST

START_TEST(removing_what_is_not_there_is_nothing)
{
	heap_remove(&heap, &items[0].slot);
	heap_insert(&heap, &items[1].slot, 1, 1);
	heap_remove(&heap, &items[0].slot);
	heap_remove(&heap, &items[1].slot);
	heap_remove(&heap, &items[1].slot);
	ck_assert_uint_eq(heap.n, 0);
}
END_TEST

START_TEST(memory_of_a_burst_is_given_back)
{
	enum { N = 100000 };
	struct heap_slot *slots = calloc(N, sizeof(*slots));
	size_t size;

	for (int i = 0; i < N; i++)
		heap_insert(&heap, &slots[i], i, 0);
	size = heap.size;
	for (int i = 0; i < N - 10; i++)
		heap_remove(&heap, &slots[i]);
	ck_assert_uint_lt(heap.size, size / 100);
	ck_assert_int_eq(heap_first(&heap)->key, N - 10);
	free(slots);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("heap");
	TCase *tc = tcase_create("heap");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, agrees_with_a_model);
	tcase_add_test(tc, equal_keys_come_in_order_of_tie);
	tcase_add_test(tc, extreme_keys_are_ordered);
	tcase_add_test(tc, removing_what_is_not_there_is_nothing);
	tcase_add_test(tc, memory_of_a_burst_is_given_back);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
