/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/needs.h"

#include <check.h>
#include <stdlib.h>

#include "tests/unit/suite.h"

/* "@N" in documents of a file, on its way into requests. */

static json_t *json_of(const char *text)
{
	json_error_t error;
	json_t *value = json_loads(text, JSON_DECODE_ANY, &error);

	ck_assert_msg(value != NULL, "%s: %s", text, error.text);
	return value;
}

START_TEST(places_are_counted)
{
	static const struct {
		const char *text;
		size_t n;
		int64_t max;
	} cases[] = {
		{ "{}", 0, -1 },
		{ "[]", 0, -1 },
		{ "{\"needs\":5}", 0, -1 },
		{ "{\"needs\":[]}", 0, -1 },
		{ "{\"needs\":[3,{\"job\":4}]}", 0, -1 },
		{ "{\"needs\":[\"@\",\"3\",\"@x\",\"@1x\",\"@-1\",null,[\"@1\"],\"@9999999999\"]}",
		  0, -1 },
		{ "{\"needs\":[\"@0\"]}", 1, 0 },
		{ "{\"needs\":[\"@999999999\",7,{\"job\":\"@12\",\"on\":\"done\"}]}", 2,
		  999999999 },
		{ "{\"needs\":[\"@1\"],\"jobs\":[{\"jobs\":[{\"needs\":[{\"job\":\"@7\"}]}]},5]}",
		  2, 7 },
		{ "{\"value\":{\"needs\":[\"@1\"]},\"argv\":[\"@1\"]}", 0, -1 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		json_t *doc = json_of(cases[i].text);
		int64_t max;

		ck_assert_uint_eq(needs_count_places(doc, &max), cases[i].n);
		ck_assert_int_eq(max, cases[i].max);
		json_decref(doc);
	}
}
END_TEST

/* Documents 0 to 2 of the file have ids, the request begins with document 4. */
START_TEST(places_become_ids_or_nearer_places)
{
	static const int64_t ids[] = { 70, 71, 72 };
	const char *text = "{\"needs\":[\"@0\",{\"job\":\"@2\",\"on\":\"done\"},\"@4\",9],"
			   "\"jobs\":[{\"needs\":[\"@5\",{\"job\":\"@1\"}],\"argv\":[\"@1\"]}]}";
	json_t *doc = json_of(text), *other = needs_translated(doc, 4, ids, 3);
	char *before = json_dumps(doc, JSON_COMPACT), *after = json_dumps(other, JSON_COMPACT);

	ck_assert_str_eq(before, text);
	ck_assert_str_eq(after, "{\"needs\":[70,{\"job\":72,\"on\":\"done\"},\"@0\",9],"
				"\"jobs\":[{\"needs\":[\"@1\",{\"job\":71}],\"argv\":[\"@1\"]}]}");
	free(before);
	free(after);
	json_decref(doc);
	json_decref(other);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("needs");
	TCase *tc = tcase_create("all");

	tcase_add_test(tc, places_are_counted);
	tcase_add_test(tc, places_become_ids_or_nearer_places);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
