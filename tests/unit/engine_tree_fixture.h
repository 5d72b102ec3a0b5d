/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_ENGINE_TREE_FIXTURE_H
#define TESTS_UNIT_ENGINE_TREE_FIXTURE_H

#include "tests/unit/engine_fixture.h"

/* What tests of compositions share. */

#define T(sleep, value) "{\"kind\":\"timer\",\"sleep\":" #sleep ",\"value\":\"" value "\"}"
#define W "{\"kind\":\"worker\",\"argv\":[\"x\"]}"

static inline int64_t part_of(int64_t parent, unsigned index)
{
	int64_t id = 0;

	for (size_t i = 0; i < n_rows; i++)
		if (rows[i].parent == parent && rows[i].part == index)
			id = rows[i].id; /* the last attempt's */
	ck_assert_int_ne(id, 0);
	return id;
}

#define SHIELDED "{\"kind\":\"worker\",\"argv\":[\"x\"],\"shield\":true"

#endif
